"""The miniature world: MuJoCo moves it, a small ray tracer draws it, and each clip knows what is true of it."""
