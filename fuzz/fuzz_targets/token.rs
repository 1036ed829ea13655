//! Session tokens. An input is a token, or the two parts of one, which are signed so that what lies behind the signature is
//! reached.
#![no_main]

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer, SigningKey};
use libfuzzer_sys::fuzz_target;
use protocol::{Timestamp, token};
use std::sync::LazyLock;

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[7; 32]));
const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

fuzz_target!(|text: &str| {
    let known = |_: &str| Some(KEY.verifying_key());
    assert!(token::verify(text, NOW, known).is_err(), "nobody but us can sign");
    if let Some(key) = token::public_key(text) {
        assert_eq!(token::public_key_text(&key), text);
    }
    let Some((header, claims)) = text.split_once('\n') else { return };
    let token = signed(header, claims);
    let Ok(claims) = token::verify(&token, NOW, known) else { return };
    assert!(claims.expires_at_s > NOW.as_millis() / 1000 - 1);
    assert_eq!(token::verify(&token::sign(&claims, "k", &KEY), NOW, known), Ok(claims));
    let place = text.len() % token.len();
    let mut damaged = token.into_bytes();
    damaged[place] ^= 1;
    let damaged = String::from_utf8(damaged).expect("a token is ASCII");
    assert!(token::verify(&damaged, NOW, known).is_err(), "{damaged} was taken");
});

fn signed(header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
    let signed = format!("{header}.{claims}");
    let signature = BASE64URL_NOPAD.encode(&KEY.sign(signed.as_bytes()).to_bytes());
    format!("{signed}.{signature}")
}
