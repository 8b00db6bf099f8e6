"""The sign-ins that apps have registered, and the marks of those that are over."""
