"""Pictures: a frame (data) first, then frame to matplotlib Figure; nothing here saves or touches global state."""
