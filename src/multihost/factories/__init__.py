"""The factories of the shared types: methods of managers that create an object or attach to it."""
