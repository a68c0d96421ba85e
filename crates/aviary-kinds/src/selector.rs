//! Label and field selectors, as text and as objects.
