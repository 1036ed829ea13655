//! What comes with a request: cookies, and paths to go to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{cookie, path};

/// Of a path that is gone to, in bytes.
const PATH_BYTES_MAX: usize = 2_000;

fuzz_target!(|text: &str| {
    for value in [cookie::token_of(text), cookie::refresh_of(text)].into_iter().flatten() {
        assert!(text.contains(value) && !value.contains(';'));
    }
    for next in [path::Next::back_to(text), path::Next::of(Some(text))] {
        let path = next.path();
        assert!(path.starts_with('/') && !path.starts_with("//"));
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
        assert!(path.len() <= PATH_BYTES_MAX, "{} bytes", path.len());
        assert_eq!(path::Next::back_to(path), next);
        let value = next.query_value();
        assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)));
    }
});
