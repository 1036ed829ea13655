//! Faults of the broker: each has a name, in metrics, at `/readyz` and for the client, and nothing acknowledged is lost.

mod cluster;
mod connection;
mod full;
mod lagging;
mod lost_live;
mod missing;
mod restored;
mod slow_consumer;

use tests::html;
use tests::http::Ask;
use tests::person::Person;
use tests::services::{Servers, Service, Services};

/// A room at the first gateway with its maker, and the maker's id.
struct Scene {
    ann: Person,
    id: protocol::UserId,
    room: String,
}

impl Scene {
    async fn at<N: Servers>(services: &Services<N>, name: &str) -> Self {
        let ann = Person::arrives(&services.address(0), "Ann").await;
        let room = ann.creates(name).await;
        let page = ann.opens(&room).await.html;
        let id = html::attribute(&page, "data-viewer").and_then(|id| id.parse().ok());
        Self { ann, id: id.expect("a room's page says whose it is"), room }
    }
}

/// What a gateway's readiness is, and what it says there of the broker.
async fn ready(gateway: &Service) -> (u16, String) {
    let answer = Ask::get("/readyz").send(&gateway.operations()).await;
    (answer.status, answer.json()["dependencies"]["broker"]["status"].as_str().unwrap().to_owned())
}
