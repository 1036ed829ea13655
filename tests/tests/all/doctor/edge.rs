//! The chat behind proxies that are set up badly.

use super::Said;
use tests::backchat::Backchat;
use tests::meddler::{Meddler, Meddling};
use tests::topology::authority::Authority;

#[tokio::test]
async fn a_proxy_that_spoils_something_is_found() {
    let backchat = Backchat::start().await;
    let said_through = async |meddling: Meddling| {
        let proxy = Meddler::before(&backchat.address(), meddling).await;
        Said::of_pieces(&[("--origin", &format!("http://127.0.0.1:{}", proxy.port()))]).await
    };
    let said = said_through(Meddling::default()).await;
    said.all_is_well().praises("a WebSocket comes through").praises("cookies come through as");

    let requests = Some(("upgrade: websocket", "dropped: websocket"));
    let said = said_through(Meddling { requests, ..Meddling::default() }).await;
    said.says(
        "fault",
        "a WebSocket does not come through the proxy: it is answered 400",
        "proxy_set_header Upgrade",
    );
    said.says_nothing_else(1);

    // As if the proxy asked for everything in the name of one site.
    let requests = Some(("origin: https://not-this-chat.invalid", "no-one: https://not-this-chat.invalid"));
    let said = said_through(Meddling { requests, ..Meddling::default() }).await;
    said.says("fault", "a WebSocket of another site is answered 101", "PUBLIC_ORIGINS").says_nothing_else(1);

    // A proxy that puts another Host in the place of what the browser asked for.
    let requests = Some(("host: 127.0.0.1", "host: 127.0.0.2"));
    let said = said_through(Meddling { requests, ..Meddling::default() }).await;
    said.says(
        "fault",
        "the auth service refuses forms of this address",
        "BACKCHAT_AUTH_SERVICE_TRUSTED_PROXIES",
    )
    .says("fault", "the gateway refuses forms of this address", "BACKCHAT_GATEWAY_PUBLIC_ORIGINS")
    .says("fault", "the gateway refuses WebSockets of this address", "BACKCHAT_GATEWAY_PUBLIC_ORIGINS")
    .says_nothing_else(3);

    // What takes no POST sets no cookie, and that is not what is to be mended.
    let requests = Some(("POST /auth/logout/ ", "LOCK /auth/logout/ "));
    let said = said_through(Meddling { requests, ..Meddling::default() }).await;
    said.says("fault", "a form to the auth service is answered 405", "POST requests too")
        .says_nothing_else(1);

    let answers = Some(("; HttpOnly;", "; HttpGone;"));
    let said = said_through(Meddling { answers, ..Meddling::default() }).await;
    said.says("fault", "backchat_token is set without HttpOnly", "pass Set-Cookie as it is")
        .says_nothing_else(2);
}

#[tokio::test]
async fn cookies_without_secure_behind_tls_are_found_until_the_address_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::made_in(folder.path());
    let ca = authority.file().to_string_lossy().into_owned();
    let prepared = Backchat::prepared(&[]);
    let tls = Some(authority.signs("edge"));
    let proxy = Meddler::before(&prepared.address(), Meddling { tls, ..Meddling::default() }).await;
    let origin = format!("https://localhost:{}", proxy.port());
    let arguments = [("--origin", &*origin), ("--origin-ca", &ca)];
    Said::of_pieces(&arguments).await.says_nothing_else(1);

    let mut backchat = prepared;
    backchat.start_again().await;
    let said = Said::of_pieces(&arguments).await;
    said.says(
        "fault",
        "the cookie __Host-backchat_token is not set, but backchat_token and backchat_refresh",
        &format!("BACKCHAT_PUBLIC_ORIGINS) to {origin}"),
    );
    said.praises("the certificate of localhost is good for").says_nothing_else(2);
    Said::of_pieces(&[("--origin", &*origin)]).await.says("fault", "is not good", "BACKCHAT_ORIGIN_CA");

    assert_eq!(backchat.terminate().await, 0);
    let mut launch = backchat.launch().set("BACKCHAT_PUBLIC_ORIGINS", &origin);
    launch = launch.named("with-its-address");
    let mut program = tests::process::Program::start(launch);
    program.ready_at(&backchat.address(), "/readyz", tests::backchat::START).await;
    let said = Said::of_pieces(&arguments).await;
    said.all_is_well().praises("Secure, HttpOnly and SameSite=Lax").praises("a WebSocket comes through");
    program.terminate();
    program.ended(tests::backchat::STOP).await;
}
