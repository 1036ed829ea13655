//! Names of things: ids, slugs, cursors, and the subjects made of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{
    Cursor, MessageId, RoomSlug, SessionId, StreamIdentity, UserId, limits,
    subject::{Shard, Shards, room_of},
};

fuzz_target!(|text: &str| {
    fuzz::shown::<Cursor>(text);
    fuzz::shown::<StreamIdentity>(text);
    fuzz::shown::<UserId>(text);
    fuzz::shown::<MessageId>(text);
    fuzz::shown::<SessionId>(text);
    fuzz::json::<RoomSlug>(text.as_bytes());
    fuzz::json::<UserId>(text.as_bytes());
    if let Some(room) = room_of(text) {
        assert!(text.ends_with(room.as_str()));
    }
    if let Some(room) = fuzz::shown::<RoomSlug>(text) {
        assert_eq!(room.as_str(), text);
        assert!((1..=limits::SLUG_BYTES_MAX).contains(&text.len()));
        for (first, count) in [(0, 0), (1, 1), (8, 8), (8, 40), (1, u16::MAX)] {
            let shards = Shards::new(first, count);
            its_subjects_give_it_back(&room, shards.of(&room), shards);
            let spread = shards.spread(room.clone(), count);
            assert!(spread == room || Some(shards.of(&spread).0) == spread.named_shard());
        }
    }
});

fn its_subjects_give_it_back(room: &RoomSlug, shard: Shard, shards: Shards) {
    assert!(shard.0 < shards.count());
    let subjects =
        [shard.log(room), shard.live(room), shard.room(room), shard.presence(room), shard.head(room)];
    for subject in subjects {
        assert_eq!(subject.split('.').count(), 4, "{subject}");
        assert_eq!(room_of(&subject).as_ref(), Some(room));
    }
    let member = shard.member(UserId::default(), room);
    assert_eq!((member.split('.').count(), room_of(&member).as_ref()), (5, Some(room)));
}
