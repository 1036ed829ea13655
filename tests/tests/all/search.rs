//! Messages are found by their words, by members of their room alone, as they are now; and whatever happens to the index, nothing else
//! is held up by it.

use protocol::search::{AskSearchReplay, SearchAnswer, SearchQuery};
use protocol::subject;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::backchat::{Backchat, shared};
use tests::eventually::{SOON, becomes, eventually};
use tests::files::files_with;
use tests::http::{Ask, percent};
use tests::person::{Person, unique};
use tests::process::Ended;
use tests::services::Services;
use tokio::time::sleep;

/// Longest wait for a command of the operator.
const END: Duration = Duration::from_secs(60);
/// What was erased is found no more after this.
const ERASED: Duration = Duration::from_secs(60);

/// Waits until a search finds these and nothing else, in whatever order.
async fn comes_to_find(person: &Person, query: &str, wanted: &[&str]) {
    let mut wanted: Vec<_> = wanted.iter().map(|text| (*text).to_owned()).collect();
    wanted.sort();
    becomes(&format!("{query:?} is found"), SOON, wanted, || async {
        let mut found = person.finds(query).await;
        found.sort();
        found
    })
    .await;
}

/// A room of somebody new, in which these were said.
async fn room_with(address: &str, texts: &[&str]) -> (Person, String) {
    let person = Person::arrives(address, "Ann").await;
    let room = person.creates("Search").await;
    say(&person, &room, texts).await;
    (person, room)
}

async fn say(person: &Person, room: &str, texts: &[&str]) {
    let mut socket = person.connects(room).await;
    socket.caught_up().await;
    for text in texts {
        socket.say(text).await;
    }
}

/// A command of the operator of a running backchat.
async fn commands(backchat: &Backchat, words: &str, typed: &str) -> Ended {
    let launch = backchat.launch().named(&format!("command-{}", unique()));
    launch.words(words).input(typed).to_the_end(END).await
}

#[tokio::test]
async fn words_stems_phrases_beginnings_and_other_scripts_are_found() {
    let texts = [
        "Running late for the Tea Party",
        "the party had no tea",
        "L’été, nous mangeons des œufs brouillés",
        "東京都に行きました",
        "ok 👍",
    ];
    let (ann, _) = room_with(&shared().await, &texts).await;
    comes_to_find(&ann, "party", &texts[..2]).await;
    for (query, found) in [
        ("runs", &texts[..1]),
        ("TEA party", &texts[..2]),
        ("\"tea party\"", &texts[..1]),
        ("\"party tea\"", &[]),
        ("ete oeuf", &texts[2..3]),
        ("brouillé", &texts[2..3]),
        ("mang*", &texts[2..3]),
        ("京都", &texts[3..4]),
        ("東京都", &texts[3..4]),
        ("京東", &[]),
        ("👍", &texts[4..]),
        ("coffee", &[]),
    ] {
        comes_to_find(&ann, query, found).await;
    }
}

#[tokio::test]
async fn operators_narrow_a_search() {
    let address = shared().await;
    let (ann, room) = room_with(&address, &["apples of Ann"]).await;
    let ben = Person::arrives(&address, "Zoë").await;
    ben.joins(&room).await;
    say(&ben, &room, &["apples of Ben"]).await;
    let orchard = ann.creates("The Orchard").await;
    say(&ann, &orchard, &["apples on trees"]).await;
    comes_to_find(&ann, "apple", &["apples of Ann", "apples of Ben", "apples on trees"]).await;
    let suffix = ben.name.split(' ').next_back().unwrap();
    let queries = [
        (format!("apples from:\"{}\"", ben.name), &["apples of Ben"][..]),
        (format!("apples from:@{suffix}"), &["apples of Ben"]),
        (format!("from:{suffix}"), &["apples of Ben"]),
        ("apples from:nobodyiscalledso".to_owned(), &[]),
        (format!("apples in:{orchard}"), &["apples on trees"]),
        ("apples in:\"the orchard\"".to_owned(), &["apples on trees"]),
        (format!("in:{orchard}"), &["apples on trees"]),
        ("apples after:2999-01-01".to_owned(), &[]),
        ("apples before:2000-01-01".to_owned(), &[]),
        ("apples after:2000-01-01 before:2999-01-01 on".to_owned(), &["apples on trees"]),
    ];
    for (query, found) in queries {
        comes_to_find(&ann, &query, found).await;
    }
    for (query, code) in [
        ("apples before:tomorrow", "no_day"),
        ("apples in:nowhere", "no_such_room"),
        ("apples from:", "nothing_behind"),
        ("!?", "no_words"),
        ("", "no_words"),
        (&"a ".repeat(17), "too_many_words"),
        (&"a".repeat(501), "too_long"),
    ] {
        let answer = ann.asks_search(query).await;
        assert!(answer.status == 422 && answer.is_problem(), "{query}: {}", answer.body);
        assert_eq!(answer.json()["code"], code, "{query}");
    }
}

#[tokio::test]
async fn the_page_marks_what_it_finds_and_escapes_everything() {
    let text = "<script>alert('cucumber')</script> & cucumbers \"quoted\"";
    let (ann, room) = room_with(&shared().await, &[text]).await;
    comes_to_find(&ann, "cucumber", &[text]).await;
    let page = ann.get("/search/?q=cucumber").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("&#60;script&#62;alert(&#39;<mark>cucumber</mark>&#39;)"), "{}", page.body);
    assert!(page.body.contains("<mark>cucumbers</mark>"), "{}", page.body);
    assert!(!page.body.contains("<script>"), "{}", page.body);
    assert!(page.header("cache-control").contains("no-store"), "{:?}", page.headers);
    let link = format!("/room/{room}/?at=");
    assert!(page.body.contains(&link), "{}", page.body);
    let nasty = "\"><script>x</script>";
    for path in [format!("/search/?q={}", percent(nasty)), format!("/search/?q=in:{}", percent(nasty))] {
        let page = ann.get(&path).await;
        assert!(!page.body.contains("<script>x"), "{}", page.body);
        assert!(page.body.contains("script&#62;x"), "{}", page.body);
    }
    let prefilled = ann.get(&format!("/search/?in={room}")).await.body;
    assert!(prefilled.contains(&format!("value=\"in:{room} \"")), "{prefilled}");
    let hostile = ann.get(&format!("/search/?in={}", percent(nasty))).await.body;
    assert!(!hostile.contains("script&#62;x"), "no room has such an address");
    let stranger = Person::stranger(&ann.address);
    assert!(stranger.get("/search/?q=cucumber").await.location().starts_with("/auth/login/"));
}

#[tokio::test]
async fn only_members_find_what_is_said_in_a_room_and_only_while_they_are() {
    let address = shared().await;
    let (ann, room) = room_with(&address, &["the marmalade is hidden"]).await;
    let ben = Person::arrives(&address, "Ben").await;
    comes_to_find(&ann, "marmalade", &["the marmalade is hidden"]).await;
    assert!(ben.finds("marmalade").await.is_empty());
    assert_eq!(ben.asks_search(&format!("marmalade in:{room}")).await.json()["code"], "no_such_room");
    ben.joins(&room).await;
    comes_to_find(&ben, "marmalade", &["the marmalade is hidden"]).await;
    ben.leaves(&room).await;
    assert!(ben.finds("marmalade").await.is_empty());
    assert_eq!(ann.finds("marmalade").await.len(), 1);
}

#[tokio::test]
async fn a_message_is_found_as_it_is_now() {
    let (ann, room) = room_with(&shared().await, &[]).await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    let id = socket.send("a gooseberry").await;
    socket.acknowledged(id).await;
    comes_to_find(&ann, "gooseberry", &["a gooseberry"]).await;
    let edit = socket.edit(id, "an elderflower").await;
    socket.acknowledged(edit).await;
    // At once, before the index has heard of it.
    assert!(ann.finds("gooseberry").await.is_empty());
    comes_to_find(&ann, "elderflower", &["an elderflower"]).await;
    let deletion = socket.delete(id).await;
    socket.acknowledged(deletion).await;
    assert!(ann.finds("elderflower").await.is_empty());
}

#[tokio::test]
async fn pages_follow_each_other_while_people_chat() {
    let (ann, room) = room_with(&shared().await, &[]).await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say_all((0..45).map(|n| format!("quince {n}"))).await;
    eventually("all are found", SOON, || async { ann.finds("quince 44").await.pop() }).await;
    let mut path = "/search/?q=quince".to_owned();
    let mut found = Vec::new();
    loop {
        let answer = ann.send(Ask::get(&path).header("accept", "application/json"), &path).await.json();
        found.extend(answer["hits"].as_array().unwrap().iter().map(|hit| hit["id"].clone()));
        if found.len() == 20 {
            socket.say("quince that comes between").await;
            eventually("it is found", SOON, || async { ann.finds("quince between").await.pop() }).await;
        }
        if !answer["more"].as_bool().unwrap() {
            break;
        }
        path = format!("/search/?q=quince&page={}&as_of={}", found.len() / 20 + 1, answer["as_of"]);
    }
    let whole = socket.whole_history(100).await;
    let said = whole.iter().filter(|row| row.body.as_deref().is_some_and(|body| body.starts_with("quince ")));
    let mut said: Vec<_> = said.map(|row| serde_json::json!(row.id)).collect();
    said.pop();
    said.reverse();
    assert_eq!(found, said, "equally good ones come newest first, each once");
    let last = ann.get("/search/?q=quince").await.body;
    assert!(last.contains("rel=\"next\"") && last.contains("&amp;page=2&amp;as_of="), "{last}");
}

#[tokio::test]
async fn who_searches_too_fast_is_asked_to_wait() {
    let backchat = Backchat::with(&[("BACKCHAT_GATEWAY_SEARCH_BURST", "3")]).await;
    let (ann, _) = room_with(&backchat.address(), &[]).await;
    let ben = Person::arrives(&backchat.address(), "Ben").await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(ann.asks_search("tea").await.status);
    }
    assert!(statuses[..3].iter().all(|status| *status == 200) && statuses.contains(&429), "{statuses:?}");
    assert!(ann.get("/search/?q=tea").await.body.contains("many searches at once"));
    assert_eq!(ben.asks_search("tea").await.status, 200, "nobody else is slowed");
}

#[tokio::test]
async fn what_an_operator_erases_is_found_no_more_and_status_and_replay_are_told() {
    let backchat = Backchat::without_rate_limit().await;
    let address = backchat.address();
    let (ann, room) = room_with(&address, &["rhubarb of Ann"]).await;
    let ben = Person::arrives(&address, "Ben").await;
    ben.joins(&room).await;
    say(&ben, &room, &["rhubarb of Ben"]).await;
    let doomed = ann.creates("Doomed").await;
    ben.joins(&doomed).await;
    say(&ann, &doomed, &["rhubarb in a doomed room"]).await;
    let all = ["rhubarb of Ann", "rhubarb of Ben", "rhubarb in a doomed room"];
    comes_to_find(&ann, "rhubarb", &all).await;

    let status = commands(&backchat, "search status", "").await;
    assert!(status.code == 0 && status.output.contains("\"rebuilding\":false"), "{}", status.output);
    let replay = commands(&backchat, "search replay", "").await;
    assert!(replay.code == 0 && replay.output.contains("\"ended_at\":\"2"), "{}", replay.output);
    comes_to_find(&ann, "rhubarb", &all).await;

    let erased = commands(&backchat, &format!("erase person {}", ben.name), &ben.name).await;
    assert_eq!(erased.code, 0, "{}", erased.output);
    assert_eq!(ann.finds("rhubarb of").await, ["rhubarb of Ann"]);
    let erased = commands(&backchat, &format!("erase room {doomed}"), &doomed).await;
    assert_eq!(erased.code, 0, "{}", erased.output);
    assert_eq!(ann.finds("rhubarb").await, ["rhubarb of Ann"]);
    // From the index too, and not only from what is shown.
    eventually("the index has one message", ERASED, || async {
        let status = commands(&backchat, "search status", "").await.output;
        status.contains("\"documents\":1,").then_some(())
    })
    .await;
}

/// Everything that a word may look like in an index.
fn forms(word: &str) -> Vec<String> {
    vec![word.to_owned(), word.to_lowercase(), word.to_lowercase().replace('é', "e"), word.to_uppercase()]
}

#[tokio::test]
async fn no_word_is_in_the_files_of_the_index() {
    let mut backchat = Backchat::without_rate_limit().await;
    let (stem, other) = (unique(), unique());
    let text = format!("Néedle{stem}ing and {other}");
    let (ann, _) = room_with(&backchat.address(), &[&text]).await;
    comes_to_find(&ann, &format!("needle{stem}ing"), &[&text]).await;
    assert_eq!(backchat.terminate().await, 0);
    let index = backchat.data().join("search");
    assert!(files_below(&index).len() > 5, "{:?}", files_below(&index));
    let mut sought = forms(&format!("Néedle{stem}"));
    sought.push(other);
    sought.push("Ann".to_owned());
    let sought: Vec<&str> = sought.iter().map(String::as_str).collect();
    assert_eq!(files_with(&index, &sought), Vec::<PathBuf>::new());
    for needle in sought.iter().filter(|needle| **needle != "Ann") {
        assert!(!backchat.log().contains(needle), "a log has {needle}");
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn without_a_search_worker_the_page_says_so_and_everything_else_works() {
    let mut services = Services::start(1).await;
    let (ann, room) = room_with(&services.address(0), &["before it came"]).await;
    let page = ann.get("/search/?q=before").await;
    assert!(page.status == 503 && page.body.contains("Search can’t be used right now"), "{}", page.body);
    assert_eq!(ann.asks_search("before").await.json()["code"], "search_unavailable");
    assert_eq!(ann.opens(&room).await.messages(), ["before it came"]);
    let health = Ask::get("/readyz").send(&services.gateways[0].operations()).await;
    assert!(health.status == 200 && health.body.contains("search worker"), "{}", health.body);
    services.search.start().await;
    comes_to_find(&ann, "came", &["before it came"]).await;
    eventually("everything is counted", SOON, || async {
        let metrics = Ask::get("/metrics").send(&services.search.operations()).await.body;
        let names = ["lag_entries", "lag_seconds", "documents", "rebuilding", "searches", "search_seconds"];
        names.iter().all(|name| metrics.contains(&format!("backchat_search_worker_{name}"))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_search_worker_that_is_killed_again_and_again_has_each_message_once() {
    let mut services = Services::start(1).await;
    services.search.start().await;
    let (ann, room) = room_with(&services.address(0), &[]).await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    let talking = async {
        for round in 0..10 {
            socket.say_all((0..30).map(|n| format!("damson number{}x", round * 30 + n))).await;
            sleep(Duration::from_millis(200)).await;
        }
    };
    let search = &mut services.search;
    let killing = async {
        for pause in [700, 300, 1_100, 500] {
            sleep(Duration::from_millis(pause)).await;
            search.kill();
            search.start().await;
        }
    };
    tokio::join!(talking, killing);
    for n in [0, 57, 123, 200, 299] {
        let text = format!("damson number{n}x");
        comes_to_find(&ann, &format!("number{n}x"), &[&text]).await;
    }
    eventually("each is in the index once", SOON, || async {
        (services.search.metric("documents").await == Some(300)).then_some(())
    })
    .await;
}

/// An index is made anew beside the one that is searched; a worker that starts goes on with both.
#[tokio::test]
async fn a_search_worker_that_is_killed_while_it_makes_its_index_anew_finishes_it() {
    let mut services = Services::start(1).await;
    services.search.start().await;
    let broker = services.nats.connect().await;
    let (ann, room) = room_with(&services.address(0), &[]).await;
    let mut socket = ann.connects(&room).await;
    socket.caught_up().await;
    socket.say_all((0..1_500).map(|n| format!("sloe number{n}x"))).await;
    comes_to_find(&ann, "number1499x", &["sloe number1499x"]).await;
    for pause in [0, 30, 60, 120, 240, 480] {
        let question = SearchQuery::Replay(AskSearchReplay::Begin);
        let begun = broker.ask(subject::SEARCH_QUERIES.to_owned(), &question, END).await.unwrap();
        assert!(matches!(begun, SearchAnswer::Replay { last: Some(_) }), "{begun:?}");
        sleep(Duration::from_millis(pause)).await;
        services.search.kill();
        services.search.start().await;
        for n in [0, 750, 1_499] {
            comes_to_find(&ann, &format!("number{n}x"), &[&format!("sloe number{n}x")]).await;
        }
    }
    say(&ann, &room, &["the last sloe"]).await;
    eventually("one index is left, with each message once", SOON, || async {
        let indexes = std::fs::read_dir(services.index()).unwrap();
        let folders = indexes.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
        (folders == 1 && services.search.metric("documents").await == Some(1_501)).then_some(())
    })
    .await;
    comes_to_find(&ann, "last sloe", &["the last sloe"]).await;
}

#[tokio::test]
async fn of_two_search_workers_one_answers_when_the_other_is_gone() {
    let mut services = Services::start(1).await;
    services.search.start().await;
    let mut other = services.another_search().await;
    let (ann, room) = room_with(&services.address(0), &["a quince"]).await;
    for search in [&services.search, &other] {
        becomes("both have it", SOON, Some(1), || search.metric("documents")).await;
    }
    for round in 0..2 {
        let gone = if round == 0 { &mut services.search } else { &mut other };
        gone.kill();
        // Whoever is gone takes what it had in hand along, and nothing more.
        eventually("the gateway has heard of it", SOON, || async {
            (ann.asks_search("quince").await.status == 200).then_some(())
        })
        .await;
        for _ in 0..20 {
            assert_eq!(ann.finds("\"a quince\"").await, ["a quince"]);
        }
        let text = format!("quince number{round}x");
        say(&ann, &room, &[&text]).await;
        comes_to_find(&ann, &format!("number{round}x"), &[&text]).await;
        let gone = if round == 0 { &mut services.search } else { &mut other };
        gone.start().await;
    }
    for search in [&services.search, &other] {
        becomes("both have all", SOON, Some(3), || search.metric("documents")).await;
    }
}

#[tokio::test]
async fn an_index_that_is_lost_or_spoiled_is_made_anew() {
    let mut services = Services::start(1).await;
    services.search.start().await;
    let (ann, _) = room_with(&services.address(0), &["a persimmon", "another persimmon"]).await;
    comes_to_find(&ann, "persimmon", &["a persimmon", "another persimmon"]).await;
    let index = services.index();
    type Spoil<'a> = (&'a str, &'a dyn Fn(&Path));
    let spoil: [Spoil<'_>; 4] = [
        ("altered", &|file| {
            let mut bytes = std::fs::read(file).unwrap();
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 1;
            }
            std::fs::write(file, bytes).unwrap();
        }),
        ("emptied", &|file| std::fs::write(file, "").unwrap()),
        ("without its key", &|file| {
            if file.ends_with("key") {
                std::fs::remove_file(file).unwrap();
            }
        }),
        ("lost", &|file| std::fs::remove_file(file).unwrap()),
    ];
    for (how, spoil) in spoil {
        assert_eq!(services.search.terminate().await, 0);
        files_below(&index).iter().filter(|file| !file.ends_with("lock")).for_each(|file| spoil(file));
        services.search.start().await;
        comes_to_find(&ann, "persimmon", &["a persimmon", "another persimmon"]).await;
        assert_eq!(services.search.metric("documents").await, Some(2), "{how}");
    }
    // While it runs, a file that is read later than at the start.
    let terms =
        files_below(&index).into_iter().filter(|file| file.extension().is_some_and(|it| it == "term"));
    for file in terms {
        std::fs::write(&file, std::fs::read(&file).unwrap().iter().map(|byte| byte ^ 1).collect::<Vec<_>>())
            .unwrap();
    }
    services.search.kill();
    services.search.start().await;
    comes_to_find(&ann, "persimmon", &["a persimmon", "another persimmon"]).await;
}

#[tokio::test]
async fn after_a_restart_of_the_broker_new_messages_are_found() {
    let mut services = Services::start(1).await;
    services.search.start().await;
    let (ann, room) = room_with(&services.address(0), &["a medlar"]).await;
    comes_to_find(&ann, "medlar", &["a medlar"]).await;
    services.nats.kill();
    services.nats.restart().await;
    eventually("the gateway is back", SOON, || async {
        (ann.asks_search("medlar").await.status == 200).then_some(())
    })
    .await;
    say(&ann, &room, &["another medlar"]).await;
    comes_to_find(&ann, "medlar", &["a medlar", "another medlar"]).await;
    assert!(services.search.is_running());
}
