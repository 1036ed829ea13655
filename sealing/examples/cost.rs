//! What sealing costs: `cargo run --release -p sealing --example cost`. Each line is the median of some rounds, in nanoseconds
//! for each time; the last is in bytes.

#![expect(clippy::print_stdout, reason = "it prints its figures")]

use protocol::{Event, MessageId, RoomSlug, Sealed, SealedText, UserId};
use sealing::{BodyKey, Key, Kind, Label, Root, Roots};
use std::{hint::black_box, time::Instant};

const ROUNDS: usize = 41;
const TEXT_BYTES: usize = 200;
const PAGE: usize = 50;

fn main() {
    let key = || Key::random().expect("the system gives random bytes");
    let (room, author) = (key(), key());
    let slug = RoomSlug::parse("tea_x7qa").expect("it is a room's");
    let user = UserId::new();
    let derive = || BodyKey::derive((&slug, 1, &room), (user, 1, &author));
    let body = derive();
    let text = [b'a'; TEXT_BYTES];
    let message = || Label { kind: Kind::Message, id: MessageId::new(), target: None };
    let label = message();
    let sealed = body.seal(&label, &text);

    line("seal 200 bytes", 2_000, || body.seal(&label, &text));
    line("open 200 bytes", 2_000, || body.open(&label, &sealed));
    line("seal, and write the box as text", 2_000, || body.seal(&label, &text).to_text());
    let box_text = sealed.to_text();
    line("read the box's text, and open", 2_000, || {
        Sealed::parse(&box_text).map(|sealed| body.open(&label, &sealed))
    });
    line("derive a body key", 2_000, derive);

    let page: Vec<_> = (0..PAGE).map(|_| message()).map(|label| (label, body.seal(&label, &text))).collect();
    let open = |key: &BodyKey| page.iter().filter(|(label, sealed)| key.open(label, sealed).is_ok()).count();
    assert_eq!(open(&body), PAGE);
    line("open a page of 50", 50, || open(&body));
    line("open a page of 50, each key derived", 50, || {
        (0..PAGE).filter(|at| opens(&derive(), &page[*at])).count()
    });

    let root = Root::random(1).expect("the system gives random bytes");
    let roots = Roots::of(vec![root]).expect("one root key is one");
    let wrapped = roots.wrap("chat.keys.canary", &room).expect("the system gives random bytes");
    line("wrap a key", 1_000, || roots.wrap("chat.keys.canary", &room));
    line("unwrap a key", 1_000, || roots.unwrap("chat.keys.canary", &wrapped));
    line("tag a reaction", 1_000, || sealing::reaction_tag(&room, label.id, "👍"));

    let event = Event::Message { id: label.id, author: user, body: SealedText { by: label.id, sealed } };
    println!("{:<38} {:>9} bytes", "an event of 200 bytes of text", event.encode().len());
}

fn opens(key: &BodyKey, (label, sealed): &(Label, Sealed)) -> bool {
    key.open(label, sealed).is_ok()
}

/// Does something some times in each round, and prints the median round's time for one.
fn line<T>(what: &str, times: usize, mut work: impl FnMut() -> T) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..times {
                black_box(work());
            }
            began.elapsed().as_nanos() as f64 / times as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{what:<38} {:>9.0} ns   least {:>9.0} ns", rounds[ROUNDS / 2], rounds[0]);
}
