"""Pictures of what relact found: `draw.Painter` for a video, `draw.draw` for one picture."""
