"""Cameras as devices of home automation, through an MQTT broker."""
