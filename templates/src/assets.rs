//! Styles and scripts, compiled in, at addresses that change with their content.

use std::sync::OnceLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// A file that pages load.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// The name without the hash, such as `app.css`.
    pub name: &'static str,
    pub bytes: &'static [u8],
    pub content_type: &'static str,
    /// Sixteen hexadecimal digits that change with the content.
    pub hash: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// One stylesheet for every page.
const STYLE: &str = concat!(
    include_str!("../static/css/tokens.css"),
    include_str!("../static/css/base.css"),
    include_str!("../static/css/forms.css"),
    include_str!("../static/css/rooms.css"),
    include_str!("../static/css/room.css"),
    include_str!("../static/css/messages.css"),
    include_str!("../static/css/changes.css"),
    include_str!("../static/css/search.css"),
);

/// The room's script is one file for the browser and several for its readers. They
/// share one module scope, in this order.
const ROOM_SCRIPT: &str = concat!(
    include_str!("../static/room/page.js"),
    include_str!("../static/room/rows.js"),
    include_str!("../static/room/reactions.js"),
    include_str!("../static/room/scroll.js"),
    include_str!("../static/room/pages.js"),
    include_str!("../static/room/outbox.js"),
    include_str!("../static/room/changes.js"),
    include_str!("../static/room/composer.js"),
    include_str!("../static/room/editing.js"),
    include_str!("../static/room/tools.js"),
    include_str!("../static/room/links.js"),
    include_str!("../static/room/presence.js"),
    include_str!("../static/room/connection.js"),
    include_str!("../static/room/incoming.js"),
    include_str!("../static/room/keys.js"),
    include_str!("../static/room/start.js"),
);

/// The scripts that are ours.
const OURS: [(&str, &str); 3] = [
    ("app.js", include_str!("../static/app.js")),
    ("rooms.js", include_str!("../static/rooms.js")),
    ("room.js", ROOM_SCRIPT),
];

/// The files that are served as they are.
const FILES: [(&str, &str, &[u8]); 4] = [
    ("app.css", CSS, STYLE.as_bytes()),
    ("htmx.min.js", SCRIPT, include_bytes!("../static/htmx.min.js")),
    ("hx-ws.min.js", SCRIPT, include_bytes!("../static/hx-ws.min.js")),
    ("favicon.svg", "image/svg+xml", include_bytes!("../static/favicon.svg")),
];

/// The file at `path`, which is `name.<hash>.extension`. `None` when there is no
/// such name, or when the hash is not this build's.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    let (asset, hash) = by_path(path)?;
    (asset.hash == hash).then_some(asset)
}

/// The address of a file for a page. Every name that templates use exists.
pub(crate) fn url(name: &str) -> String {
    let hash = table().iter().find(|asset| asset.name == name).map_or("missing", |asset| asset.hash);
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("/static/{stem}.{hash}.{extension}"),
        None => format!("/static/{name}.{hash}"),
    }
}

/// Serves `/static/…`. A file with this build's hash may be kept for a year; one
/// with another build's hash, which a page of that build asks for while versions
/// are being replaced, is answered with this build's content and not kept.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/static/{path}", get(serve))
}

async fn serve(Path(path): Path<String>) -> Response {
    let Some((asset, hash)) = by_path(&path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let cache = if asset.hash == hash { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, cache),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, asset.bytes).into_response()
}

/// Splits `stem.hash.extension` and finds `stem.extension`.
fn by_path(path: &str) -> Option<(Asset, &str)> {
    let (rest, extension) = path.rsplit_once('.')?;
    let (stem, hash) = rest.rsplit_once('.')?;
    let asset = table().iter().find(|asset| {
        asset.name.strip_suffix(extension).and_then(|name| name.strip_suffix('.')) == Some(stem)
    })?;
    Some((*asset, hash))
}

/// A script of ours as browsers get it: without indents, and without comments, which stand on lines of their own.
/// No text in a script may go over the end of a line.
fn for_browsers(script: &str) -> String {
    let mut written = String::with_capacity(script.len());
    let mut is_comment = false;
    for line in script.lines().map(str::trim) {
        is_comment |= line.starts_with("/*");
        if !is_comment && !line.is_empty() && !line.starts_with("//") {
            written.push_str(line);
            written.push('\n');
        }
        is_comment &= !line.ends_with("*/");
    }
    written
}

fn table() -> &'static [Asset] {
    static TABLE: OnceLock<Vec<Asset>> = OnceLock::new();
    TABLE.get_or_init(|| {
        FILES
            .into_iter()
            .chain(OURS.map(|(name, script)| (name, SCRIPT, for_browsers(script).leak().as_bytes())))
            .map(|(name, content_type, bytes)| Asset {
                name,
                bytes,
                content_type,
                hash: format!("{:016x}", fnv_1a(bytes)).leak(),
            })
            .collect()
    })
}

/// FNV-1a: enough to tell one build's file from another's.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, Response, header};
    use tower::ServiceExt;

    use super::{FILES, OURS, asset, for_browsers, router, url};

    async fn get(path: &str) -> Response<Body> {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let router: Router = router();
        router.oneshot(request).await.unwrap()
    }

    #[test]
    fn every_file_is_found_at_its_address() {
        for (name, content_type, bytes) in FILES {
            let address = url(name);
            let found = asset(address.strip_prefix("/static/").unwrap()).unwrap();
            assert_eq!(found.bytes, bytes);
            assert_eq!(found.content_type, content_type);
        }
    }

    #[test]
    fn our_scripts_are_served_without_their_comments() {
        let script = "// a\n\n/** b */\nconst x = \"/* c */\"; // d\n/**\n * e\n */\n  f(x);\n";
        assert_eq!(for_browsers(script), "const x = \"/* c */\"; // d\nf(x);\n");
        for (name, source) in OURS {
            let address = url(name);
            let found = asset(address.strip_prefix("/static/").unwrap()).unwrap();
            assert!(found.bytes.len() < source.len() && !found.bytes.starts_with(b"//"), "{name}");
            assert!(
                source.lines().all(|line| line.matches('`').count() % 2 == 0),
                "{name}: a text over two lines"
            );
        }
    }

    #[test]
    fn a_name_without_its_hash_is_not_found() {
        for path in ["app.css", "app.0.css", "../Cargo.toml", "", ".", "..", "htmx.min.js"] {
            assert!(asset(path).is_none(), "{path}");
        }
    }

    #[tokio::test]
    async fn this_builds_files_may_be_kept_for_a_year() {
        let response = get(&url("app.css")).await;
        assert_eq!(response.status(), 200);
        assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    }

    #[tokio::test]
    async fn another_builds_address_still_styles_the_page() {
        let response = get("/static/app.0123456789abcdef.css").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(get("/static/app.unknown").await.status(), 404);
        assert_eq!(get("/static/..%2fCargo.0.toml").await.status(), 404);
    }
}
