//! Metrics, access log lines and trace headers.
