import eventlet.hubs

eventlet.hubs.get_hub()  # doctor: hub
