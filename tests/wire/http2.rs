//! HTTP/2: floods of frames, messages that HTTP/1 must not get, streams and their windows.

mod floods;
mod messages;
mod streams;
