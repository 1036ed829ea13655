use super::*;
use proptest::prelude::*;

fn user(n: u8) -> UserId {
    format!("00000000-0000-7000-8000-0000000000{n:02x}").parse().unwrap()
}

/// Gateways with a room in common, and the network between them.
struct World {
    now: Instant,
    rosters: Vec<Roster>,
    shown: Vec<Shown>,
}

impl World {
    fn of(gateways: usize) -> Self {
        let now = Instant::now();
        let rosters = (0..gateways).map(|_| Roster::new(GatewayId::new(), 7, now)).collect();
        Self { now, rosters, shown: vec![Shown::default(); gateways] }
    }

    /// Lets time pass in small steps; `delivers` says which messages arrive.
    fn pass(&mut self, ms: u64, mut delivers: impl FnMut() -> bool) {
        for _ in 0..ms / 50 {
            self.now += Duration::from_millis(50);
            for place in 0..self.rosters.len() {
                let due = self.rosters[place].due(self.now);
                if let Some(shown) = due.show {
                    self.shown[place] = shown;
                }
                for note in due.publish {
                    for roster in &mut self.rosters {
                        if delivers() {
                            roster.hear(note.clone(), self.now);
                        }
                    }
                }
            }
        }
    }

    fn settle(&mut self) {
        self.pass(30_000, || true);
    }
}

#[test]
fn three_tabs_on_two_gateways_are_one_person() {
    let mut world = World::of(2);
    let ann = user(1);
    for (place, roster) in [0, 0, 1].into_iter().enumerate() {
        let now = world.now;
        world.rosters[roster].enter(ann, now);
        assert!(place < 3);
    }
    world.settle();
    assert_eq!(world.shown.iter().map(|shown| shown.count).collect::<Vec<_>>(), [1, 1]);
    let now = world.now;
    world.rosters[0].leave(ann, now);
    world.rosters[0].leave(ann, now);
    world.settle();
    assert_eq!(world.shown[0].count, 1, "one tab is left");
    let now = world.now;
    world.rosters[1].leave(ann, now);
    world.settle();
    assert_eq!(world.shown.iter().map(|shown| shown.count).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn a_reload_is_not_seen() {
    let mut world = World::of(2);
    let now = world.now;
    world.rosters[0].enter(user(1), now);
    world.settle();
    let before = world.shown.clone();
    for _ in 0..10 {
        let now = world.now;
        world.rosters[0].leave(user(1), now);
        world.pass(500, || true);
        let now = world.now;
        world.rosters[0].enter(user(1), now);
        world.pass(500, || true);
    }
    assert_eq!(world.shown, before);
}

#[test]
fn the_people_of_a_gateway_that_died_go_with_it() {
    let mut world = World::of(2);
    let now = world.now;
    world.rosters[0].enter(user(1), now);
    world.rosters[1].enter(user(2), now);
    world.settle();
    assert_eq!(world.shown[0].count, 2);
    let dead = world.rosters.remove(1);
    let now = world.now;
    world.rosters[0].forget(dead.me, now);
    world.pass(3_000, || true);
    assert_eq!((world.shown[0].count, world.shown[0].went.clone()), (1, vec![user(2)]));
}

#[test]
fn a_list_of_thousands_comes_in_parts_and_names_the_first() {
    let now = Instant::now();
    let (mut here, mut there) =
        (Roster::new(GatewayId::new(), 7, now), Roster::new(GatewayId::new(), 7, now));
    for _ in 0..2_500 {
        here.enter(UserId::new(), now);
    }
    let mut at = now;
    let mut shown = None;
    for _ in 0..200 {
        at += Duration::from_millis(50);
        let (one, other) = (here.due(at), there.due(at));
        shown = other.show.or(shown);
        one.publish.into_iter().for_each(|note| there.hear(note, at));
        other.publish.into_iter().for_each(|note| here.hear(note, at));
    }
    let shown = shown.unwrap();
    assert_eq!((shown.count, shown.present.len(), shown.came.len()), (2_500, 100, 100));
}

proptest! {
    /// Whatever comes, goes and is lost on the way: when the network works again, everybody shows who is there.
    #[test]
    fn all_gateways_come_to_show_the_same(
        steps in prop::collection::vec((0_usize..3, 0_u8..6, any::<bool>(), 0_u64..1_500), 0..60),
        losses in prop::collection::vec(any::<bool>(), 1..97),
    ) {
        let mut world = World::of(3);
        let mut lost = losses.into_iter().cycle();
        let mut there: Vec<(usize, u8)> = Vec::new();
        for (gateway, who, comes, ms) in steps {
            let now = world.now;
            let known = there.iter().position(|seat| *seat == (gateway, who));
            match (comes, known) {
                (true, _) => {
                    there.push((gateway, who));
                    world.rosters[gateway].enter(user(who), now);
                }
                (false, Some(place)) => {
                    there.remove(place);
                    world.rosters[gateway].leave(user(who), now);
                }
                (false, None) => {}
            }
            world.pass(ms, || lost.next().unwrap_or(true));
        }
        world.settle();
        let expected: BTreeSet<_> = there.iter().map(|(_, who)| user(*who)).collect();
        for shown in &world.shown {
            prop_assert_eq!(shown.present.iter().copied().collect::<BTreeSet<_>>(), expected.clone());
            prop_assert_eq!(shown.count, expected.len() as u64);
        }
    }
}
