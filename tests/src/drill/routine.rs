//! What an operator does on an ordinary day, while people talk.

use super::stage::Stage;
use crate::keys;
use std::path::Path;

pub async fn history_anew(stage: &Stage<'_>) -> String {
    let (_, talk) = stage.while_people_talk(async |_| stage.does("rebuild-history").await).await;
    talk.outcome.verdict.to_string()
}

pub async fn scale(stage: &Stage<'_>) -> String {
    let before = stage.operations("gateway").len();
    let scaling = async |_| {
        stage.does("scale-out").await;
        let more = stage.operations("gateway").len();
        stage.does("scale-in").await;
        more
    };
    let (more, talk) = stage.while_people_talk(scaling).await;
    assert!(more > before && stage.operations("gateway").len() == before);
    format!("{before}, {more} and again {before} gateways: {}", talk.outcome.verdict)
}

pub async fn upgrade(stage: &Stage<'_>) -> String {
    let (_, talk) = stage.while_people_talk(async |_| stage.does("upgrade").await).await;
    talk.outcome.verdict.to_string()
}

/// The older root key is gone in the end, and whoever starts then needs it for nothing.
pub async fn root_key(stage: &Stage<'_>) -> String {
    let older = Path::new(&keys::folder()).join("root-1");
    let rotating = async |_| {
        stage.does("rotate-root-key").await;
        assert!(older.exists());
        stage.does("destroy-older-root-key").await;
        stage.order("stop gateway-1 auth-service-1 search-worker").await;
        stage.order("start").await;
    };
    let (_, talk) = stage.while_people_talk(rotating).await;
    assert!(!older.exists(), "the older root key is still there");
    talk.outcome.verdict.to_string()
}
