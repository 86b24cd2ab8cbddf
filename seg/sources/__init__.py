"""Where frames come from: video files, pictures, cameras, network streams."""
