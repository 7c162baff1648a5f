"""Arrays in, arrays out: color, noise, motion, metrics. No PyTorch and no files."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.imaging.color import frame_to_rgb, rgb_to_yuv420, yuv420_to_rgb
    from streamdenoise.imaging.metrics import plane_psnrs, psnr_db, psnr_y, ssim
    from streamdenoise.imaging.motion import MotionFollower
    from streamdenoise.imaging.noise import add_gaussian_noise, plane_sigmas
    from streamdenoise.imaging.pix_fmt import convert_planes
    from streamdenoise.imaging.profile_estimator import (
        ProfileEstimator,
        profile_of_clip,
    )
    from streamdenoise.imaging.scene_cut import SceneCutDetector
    from streamdenoise.imaging.state_warper import StateWarper

__all__ = [
    "MotionFollower",
    "ProfileEstimator",
    "SceneCutDetector",
    "StateWarper",
    "add_gaussian_noise",
    "convert_planes",
    "frame_to_rgb",
    "plane_psnrs",
    "plane_sigmas",
    "profile_of_clip",
    "psnr_db",
    "psnr_y",
    "rgb_to_yuv420",
    "ssim",
    "yuv420_to_rgb",
]

__getattr__ = exports(
    __name__,
    {
        "MotionFollower": "motion",
        "ProfileEstimator": "profile_estimator",
        "SceneCutDetector": "scene_cut",
        "StateWarper": "state_warper",
        "add_gaussian_noise": "noise",
        "convert_planes": "pix_fmt",
        "frame_to_rgb": "color",
        "plane_psnrs": "metrics",
        "plane_sigmas": "noise",
        "profile_of_clip": "profile_estimator",
        "psnr_db": "metrics",
        "psnr_y": "metrics",
        "rgb_to_yuv420": "color",
        "ssim": "metrics",
        "yuv420_to_rgb": "color",
    },
)
