//! What several targets ask of a decoder.

use protocol::{Body, limits, text};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt::{Debug, Display},
    str::FromStr,
};

/// Reads JSON; what can be read is written and read again as the same.
pub fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, value);
    Some(value)
}

/// Reads a text; what can be read is shown and read again as the same.
pub fn shown<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    let shown = value.to_string();
    assert_eq!(shown.parse::<T>().ok().as_ref(), Some(&value), "{text:?} is shown as {shown:?}");
    Some(value)
}

/// A message's text that was taken is within its limits.
pub fn within_limits(body: &Body) {
    let text = body.as_str();
    assert!(text.chars().count() <= limits::BODY_CHARS_MAX);
    assert!(!text::is_blank(text));
    assert!(text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
    assert_eq!(Body::parse(text).as_ref(), Ok(body));
}
