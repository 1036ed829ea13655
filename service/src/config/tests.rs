use std::net::SocketAddr;

use super::*;

#[derive(Debug)]
struct Gateway {
    listen: SocketAddr,
    ping_interval_ms: u64,
    origins: Vec<String>,
    upstream: Option<String>,
    password: Secret,
}

impl Settings for Gateway {
    const SERVICE: &'static str = "gateway";

    fn read(source: &mut Source) -> Self {
        Self {
            listen: source.value("listen", "127.0.0.1:8080", "Where people come in."),
            ping_interval_ms: source.ranged(
                "ping_interval_ms",
                15_000,
                1_000..=20_000,
                "Pause between pings",
            ),
            origins: source.list("public_origins", "", "Addresses that pages may come from"),
            upstream: source.optional("auth_upstream", "Where the auth service is"),
            password: source.secret("broker_password", "The broker's password"),
        }
    }
}

#[derive(Debug)]
struct Single {
    data: String,
    gateway: Gateway,
}

impl Settings for Single {
    const SERVICE: &'static str = "backchat";

    fn read(source: &mut Source) -> Self {
        Self {
            data: source.value("data", "./data", "Where everything is kept"),
            gateway: source.nested(&Inside {
                decided: &["listen"],
                defaults: &[("ping_interval_ms", "5000"), ("broker_password", "made up")],
            }),
        }
    }
}

fn load<S: Settings>(flags: &[&str], env: &[(&str, &str)], file: Option<&str>) -> Result<S, Vec<String>> {
    let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    load_from(&flags, env, file).map_err(|faults| faults.lines().to_vec())
}

fn text(arguments: &[&str], env: &[(&str, &str)]) -> String {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    match ask::<Gateway>(&arguments, env) {
        Ok(Ask::Say(text)) => text,
        other => panic!("a text was asked for: {other:?}"),
    }
}

#[test]
fn without_anything_the_defaults_hold() {
    let gateway = load::<Gateway>(&[], &[], None).unwrap();
    assert_eq!(gateway.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(gateway.ping_interval_ms, 15_000);
    assert!(gateway.origins.is_empty());
    assert_eq!(gateway.upstream, None);
    assert!(gateway.password.is_empty());
}

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
    let file =
        "ping_interval_ms = 3000\nauth_upstream = \"file\"\npublic_origins = [\"https://a\", \"https://b\"]";
    let env = [("BACKCHAT_GATEWAY_PING_INTERVAL_MS", "2000"), ("BACKCHAT_GATEWAY_AUTH_UPSTREAM", "variable")];
    let gateway = load::<Gateway>(&["--ping-interval-ms=1000"], &env, Some(file)).unwrap();
    assert_eq!(gateway.ping_interval_ms, 1000);
    assert_eq!(gateway.upstream.as_deref(), Some("variable"));
    assert_eq!(gateway.origins, ["https://a", "https://b"]);
}

#[test]
fn a_list_is_split_at_commas() {
    let env = [("BACKCHAT_GATEWAY_PUBLIC_ORIGINS", " https://a , https://b,")];
    assert_eq!(load::<Gateway>(&[], &env, None).unwrap().origins, ["https://a", "https://b"]);
}

#[test]
fn every_fault_is_reported_at_once() {
    let env = [
        ("BACKCHAT_GATEWAY_LISTEN", "nowhere"),
        ("BACKCHAT_GATEWAY_PING_INTERVAL_MS", "50"),
        ("BACKCHAT_GATEWAY_PING_INTERVL_MS", "50"),
    ];
    let faults =
        load::<Gateway>(&["--auth-upsteam", "x", "--listen"], &env, Some("public_orgins = 1")).unwrap_err();
    assert_eq!(
        faults,
        [
            "flag --listen has no value",
            "BACKCHAT_GATEWAY_LISTEN: \"nowhere\" is not a valid value: invalid socket address syntax",
            "BACKCHAT_GATEWAY_PING_INTERVAL_MS: 50 is out of range, it must be from 1000 to 20000",
            "flag --auth-upsteam is unknown: did you mean --auth-upstream?",
            "variable BACKCHAT_GATEWAY_PING_INTERVL_MS is unknown: did you mean BACKCHAT_GATEWAY_PING_INTERVAL_MS?",
            "key public_orgins is unknown: did you mean public_origins?",
        ]
    );
}

#[test]
fn a_misspelt_service_is_a_fault_and_another_services_variable_is_not() {
    let env = [("BACKCHAT_GATEWY_LISTEN", "127.0.0.1:1"), ("BACKCHAT_AUTH_SERVICE_LISTEN", "127.0.0.1:2")];
    let faults = load::<Gateway>(&[], &env, None).unwrap_err();
    assert_eq!(faults, ["variable BACKCHAT_GATEWY_LISTEN is unknown: did you mean BACKCHAT_GATEWAY_LISTEN?"]);
}

#[test]
fn the_links_that_kubernetes_adds_are_not_settings() {
    let env = [
        ("BACKCHAT_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("BACKCHAT_GATEWAY_SERVICE_PORT_HTTP", "80"),
        ("BACKCHAT_GATEWAY_PORT", "tcp://10.0.0.1:80"),
        ("BACKCHAT_GATEWAY_PORT_80_TCP_PROTO", "tcp"),
    ];
    assert!(load::<Gateway>(&[], &env, None).is_ok());
    for given in [
        ("BACKCHAT_GATEWAY_PORT", "8081"),
        ("BACKCHAT_AUTH_PORT", "8081"),
        ("BACKCHAT_GATEWAY_TCP_PORT", "80"),
        ("BACKCHAT_PORT", "tcp://a:1"),
    ] {
        let others = env.iter().filter(|(name, _)| *name != given.0);
        let env: Vec<_> = others.copied().chain([given]).collect();
        let faults = load::<Gateway>(&[], &env, None).unwrap_err();
        assert!(faults[0].starts_with(&format!("variable {} is unknown", given.0)), "{faults:?}");
    }
    let alone = [("BACKCHAT_AUTH_SERVICE_PORT", "8081")];
    assert!(load::<Single>(&[], &alone, None).is_err(), "no Service has a port without a host");
}

#[test]
fn a_setting_is_never_taken_for_a_link() {
    let env = [
        ("BACKCHAT_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("BACKCHAT_GATEWAY_AUTH_UPSTREAM", "tcp://nats:4222"),
    ];
    let gateway = load::<Gateway>(&[], &env, None).unwrap();
    assert_eq!(gateway.upstream.as_deref(), Some("tcp://nats:4222"));
}

#[test]
fn a_broken_file_is_one_line_that_says_where() {
    let faults = load::<Gateway>(&[], &[], Some("listen = \"127.0.0.1:1\"\n\nping = = 3\n")).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("configuration file file, line 3: "), "{faults:?}");
    assert!(!faults[0].contains('\n'));
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let arguments = ["--config".to_owned(), "/nowhere/backchat.toml".to_owned()];
    let faults = ask::<Gateway>(&arguments, std::iter::empty()).unwrap_err();
    assert!(faults.to_string().starts_with("configuration file /nowhere/backchat.toml: "), "{faults}");
}

#[test]
fn a_service_inside_another_process_keeps_its_own_names() {
    let env = [("BACKCHAT_GATEWAY_PING_INTERVAL_MS", "2000"), ("BACKCHAT_DATA", "/srv/chat")];
    let file = "[gateway]\npublic_origins = [\"https://a\"]\n";
    let single = load::<Single>(&["--gateway-auth-upstream", "x"], &env, Some(file)).unwrap();
    assert_eq!(single.data, "/srv/chat");
    assert_eq!(single.gateway.ping_interval_ms, 2000);
    assert_eq!(single.gateway.origins, ["https://a"]);
    assert_eq!(single.gateway.upstream.as_deref(), Some("x"));
}

#[test]
fn a_process_can_have_other_defaults_for_a_service_inside() {
    assert_eq!(load::<Single>(&[], &[], None).unwrap().gateway.ping_interval_ms, 5000);
    let env = [("BACKCHAT_GATEWAY_PING_INTERVAL_MS", "7000")];
    let gateway = load::<Single>(&[], &env, None).unwrap().gateway;
    assert_eq!((gateway.ping_interval_ms, gateway.password.expose()), (7000, "made up"));
}

#[test]
fn the_faults_of_a_service_inside_are_reported_with_the_others() {
    let env = [
        ("BACKCHAT_DAT", "/srv/chat"),
        ("BACKCHAT_GATEWAY_PING_INTERVAL_MS", "0"),
        ("BACKCHAT_GATEWAY_LISTEN", "127.0.0.1:9"),
        ("BACKCHAT_GATEWAY_PASSWORD", "x"),
    ];
    let faults = load::<Single>(&[], &env, Some("[gateway]\npublic_orgins = 1")).unwrap_err();
    assert_eq!(
        faults,
        [
            "BACKCHAT_GATEWAY_PING_INTERVAL_MS: 0 is out of range, it must be from 1000 to 20000",
            "BACKCHAT_GATEWAY_LISTEN: backchat decides this one itself",
            "variable BACKCHAT_DAT is unknown: did you mean BACKCHAT_DATA?",
            "variable BACKCHAT_GATEWAY_PASSWORD is unknown: did you mean BACKCHAT_GATEWAY_BROKER_PASSWORD?",
            "key public_orgins is unknown: did you mean public_origins?",
        ]
    );
}

#[test]
fn a_secret_is_shown_nowhere() {
    let env = [("BACKCHAT_GATEWAY_BROKER_PASSWORD", "hunter2-hunter2")];
    let printed = text(&["config", "print"], &env);
    assert!(
        printed.contains("broker_password = \"(secret)\"  # BACKCHAT_GATEWAY_BROKER_PASSWORD"),
        "{printed}"
    );
    assert!(!printed.contains("hunter2"));
    let gateway = load::<Gateway>(&[], &env, None).unwrap();
    assert!(!format!("{gateway:?}").contains("hunter2"));
    assert_eq!(gateway.password.expose(), "hunter2-hunter2");
}

#[test]
fn the_example_is_a_file_that_reads_as_the_defaults() {
    let example = text(&["config", "example"], &[]);
    assert!(example.contains("# Pause between pings, from 1000 to 20000.\n"), "{example}");
    let set: String = example
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.contains(" = "))
        .map(|line| format!("{line}\n"))
        .collect();
    let gateway = load::<Gateway>(&[], &[], Some(&set)).unwrap();
    assert_eq!(gateway.ping_interval_ms, 15_000);
    assert_eq!(gateway.upstream, None);
}

#[test]
fn help_names_every_flag_variable_and_default() {
    let help = text(&["--help"], &[("BACKCHAT_GATEWAY_LISTEN", "nonsense")]);
    for part in ["--ping-interval-ms", "BACKCHAT_GATEWAY_PING_INTERVAL_MS", "[default: 15000]"] {
        assert!(help.contains(part), "{part} is missing in {help}");
    }
}

#[test]
fn a_flag_given_twice_is_a_fault() {
    let faults = load::<Gateway>(&["--listen=127.0.0.1:1", "--listen=127.0.0.1:2"], &[], None).unwrap_err();
    assert_eq!(faults, ["flag --listen is given twice"]);
}

/// A program with a command beside running.
#[derive(Debug)]
struct Keyed {
    data: String,
    is_checking: bool,
    erased: Option<String>,
}

impl Settings for Keyed {
    const SERVICE: &'static str = "backchat";

    fn read(source: &mut Source) -> Self {
        Self {
            is_checking: source.command("keys check", "Whether the root keys fit the data"),
            erased: source.command_on("erase person", "NAME", "Erases everything of a person"),
            data: source.value("data", "./data", "Where everything is kept"),
        }
    }
}

#[test]
fn words_are_a_command_of_the_program_or_a_fault() {
    for line in [["keys", "check", "--data", "x"], ["--data", "x", "keys", "check"]] {
        let keyed = load::<Keyed>(&line, &[], None).unwrap();
        assert_eq!((keyed.is_checking, keyed.data.as_str()), (true, "x"));
    }
    let keyed = load::<Keyed>(&[], &[], None).unwrap();
    assert_eq!((keyed.is_checking, keyed.erased), (false, None));
    let keyed = load::<Keyed>(&["erase", "person", "Ann", "Lee", "--data=x"], &[], None).unwrap();
    assert_eq!(keyed.erased.as_deref(), Some("Ann Lee"));
    for words in [&["keys"][..], &["keys", "chek"], &["keys", "check", "now"], &["erase", "person"]] {
        let faults = load::<Keyed>(words, &[], None).unwrap_err();
        assert_eq!(faults, [format!("argument {} is not expected here, see --help", words.join(" "))]);
    }
    for name in ["help", "config", "Ann help"] {
        let line: Vec<_> =
            ["erase", "person"].into_iter().chain(name.split(' ')).map(str::to_owned).collect();
        match ask::<Keyed>(&line, std::iter::empty()) {
            Ok(Ask::Run(keyed)) => assert_eq!(keyed.erased.as_deref(), Some(name)),
            other => panic!("{name} is to be erased: {other:?}"),
        }
    }
    let faults = load::<Gateway>(&["keys", "check"], &[], None).unwrap_err();
    assert_eq!(faults, ["argument keys check is not expected here, see --help"]);
    let help = ask::<Keyed>(&["--help".to_owned()], std::iter::empty());
    assert!(
        matches!(help, Ok(Ask::Say(text)) if text.contains("backchat keys check\n      Whether the root"))
    );
}

#[test]
fn every_service_has_its_variables_in_one_environment() {
    let others = [
        "GATEWAY_LISTEN",
        "HISTORY_WORKER_DATABASE",
        "SEARCH_WORKER_INDEX",
        "AUTH_SERVICE_LISTEN",
        "SETUP_SHARDS",
    ];
    let names: Vec<_> = others.iter().map(|name| format!("BACKCHAT_{name}")).collect();
    let env: Vec<_> = names.iter().map(|name| (name.as_str(), "127.0.0.1:1")).collect();
    assert!(load::<Gateway>(&[], &env, None).is_ok());
}

#[test]
fn a_password_inside_an_address_is_shown_nowhere() {
    let env = [("BACKCHAT_GATEWAY_AUTH_UPSTREAM", "nats://ann:hunter2@broker:4222")];
    let printed = text(&["config", "print"], &env);
    let line = "auth_upstream = \"nats://ann:(secret)@broker:4222\"  # BACKCHAT_GATEWAY_AUTH_UPSTREAM";
    assert!(printed.contains(line) && !printed.contains("hunter2"), "{printed}");
    let env = [("BACKCHAT_GATEWAY_LISTEN", "nats://ann:hunter2@broker:4222")];
    let faults = load::<Gateway>(&[], &env, None).unwrap_err();
    assert!(faults[0].contains("nats://ann:(secret)@broker:4222"), "{faults:?}");
}

/// A program that says what is wrong, when it is asked to.
#[derive(Debug)]
struct Patient {
    is_asked: bool,
    wrong: Vec<String>,
}

impl Settings for Patient {
    const SERVICE: &'static str = "backchat";

    fn read(source: &mut Source) -> Self {
        Self { is_asked: source.command("doctor", "Says what is wrong"), wrong: Vec::new() }
    }

    fn take_faults(&mut self, faults: ConfigFaults) -> Result<(), ConfigFaults> {
        if !self.is_asked {
            return Err(faults);
        }
        self.wrong = faults.lines().to_vec();
        Ok(())
    }
}

#[test]
fn a_program_that_is_asked_what_is_wrong_starts_with_faults() {
    let env = || [("BACKCHAT_DAT".to_owned(), "x".to_owned())].into_iter();
    match ask::<Patient>(&["doctor".to_owned()], env()) {
        Ok(Ask::Run(patient)) => assert!(patient.wrong[0].contains("BACKCHAT_DAT"), "{patient:?}"),
        other => panic!("{other:?}"),
    }
    assert!(ask::<Patient>(&[], env()).is_err());
    let check = ["config".to_owned(), "check".to_owned()];
    assert!(ask::<Patient>(&check, env()).is_err());
}
