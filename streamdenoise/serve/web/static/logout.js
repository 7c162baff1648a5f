// The button that logs out.

import { api, trouble } from "./api.js";

document.getElementById("log-out").addEventListener("click", async () => {
  try {
    await api("/api/session", "DELETE");
    location.assign("/login");
  } catch (error) {
    trouble(error.message);
  }
});
