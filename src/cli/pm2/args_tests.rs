use super::*;

fn parse_line(line: &str) -> Result<Pm2Command, String> {
    let mut words = line.split_whitespace().map(str::to_owned);
    assert_eq!(words.next().as_deref(), Some("pm2"));
    parse(&words.collect::<Vec<_>>())
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn start(targets: &[&str], memory: Option<u64>) -> Pm2Command {
    Pm2Command::Start(Start {
        what: StartWhat::Targets(words(targets)),
        max_memory_restart: memory,
        name: None,
        update_env: false,
    })
}

fn start_file(path: &str, only: &[&str]) -> Pm2Command {
    Pm2Command::Start(Start {
        what: StartWhat::File { path: path.into(), only: words(only) },
        max_memory_restart: None,
        name: None,
        update_env: false,
    })
}

fn restart(targets: &[&str], update_env: bool) -> Pm2Command {
    Pm2Command::Restart(Restart { targets: words(targets), update_env, max_memory_restart: None })
}

fn logs(target: Option<&str>, lines: usize) -> Logs {
    Logs {
        target: target.map(str::to_owned),
        lines,
        follow: true,
        shape: LogShape::Usual,
        timestamp: None,
        highlight: None,
        streams: Streams::Both,
    }
}

/// As they stand in the maintenance guide.
#[test]
fn the_commands_of_the_maintenance_guide() {
    let table = [
        ("pm2 status", Pm2Command::List),
        ("pm2 list", Pm2Command::List),
        ("pm2 show dashboard-api-server", Pm2Command::Show("dashboard-api-server".into())),
        ("pm2 show websocket-server", Pm2Command::Show("websocket-server".into())),
        ("pm2 flush dashboard-api-server", Pm2Command::Flush(words(&["dashboard-api-server"]))),
        ("pm2 flush websocket-server", Pm2Command::Flush(words(&["websocket-server"]))),
        ("pm2 restart dashboard-api-server --update-env", restart(&["dashboard-api-server"], true)),
        ("pm2 restart websocket-server --update-env", restart(&["websocket-server"], true)),
        (
            "pm2 logs dashboard-api-server --lines 50",
            Pm2Command::Logs(logs(Some("dashboard-api-server"), 50)),
        ),
        ("pm2 restart dashboard-api-server", restart(&["dashboard-api-server"], false)),
        ("pm2 restart websocket-server", restart(&["websocket-server"], false)),
        (
            "pm2 logs webhook-button-handler --lines 100",
            Pm2Command::Logs(logs(Some("webhook-button-handler"), 100)),
        ),
        ("pm2 restart webhook-button-handler", restart(&["webhook-button-handler"], false)),
        (
            "pm2 start dashboard-api-server --max-memory-restart 1G",
            start(&["dashboard-api-server"], Some(1 << 30)),
        ),
        (
            "pm2 start websocket-server --max-memory-restart 512M",
            start(&["websocket-server"], Some(512 << 20)),
        ),
        (
            "pm2 stop dashboard-api-server websocket-server",
            Pm2Command::Stop(words(&["dashboard-api-server", "websocket-server"])),
        ),
        (
            "pm2 logs dashboard-api-server --lines 200",
            Pm2Command::Logs(logs(Some("dashboard-api-server"), 200)),
        ),
        ("pm2 logs websocket-server --lines 200", Pm2Command::Logs(logs(Some("websocket-server"), 200))),
        (
            "pm2 start ecosystem.dashboard-integration.config.js",
            start_file("ecosystem.dashboard-integration.config.js", &[]),
        ),
        (
            "pm2 start dashboard-api-server websocket-server",
            start(&["dashboard-api-server", "websocket-server"], None),
        ),
    ];
    for (line, expected) in table {
        assert_eq!(parse_line(line), Ok(expected), "{line}");
    }
}

#[test]
fn every_other_form() {
    let table = [
        ("pm2 ls", Pm2Command::List),
        ("pm2 l", Pm2Command::List),
        ("pm2 ps -m --no-color", Pm2Command::List),
        ("pm2 --silent jlist", Pm2Command::Jlist),
        ("pm2 describe 0", Pm2Command::Show("0".into())),
        ("pm2 desc web", Pm2Command::Show("web".into())),
        ("pm2 info web", Pm2Command::Show("web".into())),
        ("pm2 stop all", Pm2Command::Stop(words(&["all"]))),
        ("pm2 stop 0 1 web", Pm2Command::Stop(words(&["0", "1", "web"]))),
        ("pm2 restart -a web", restart(&["web"], true)),
        (
            "pm2 reload web all",
            Pm2Command::Reload(Restart {
                targets: words(&["web", "all"]),
                update_env: false,
                max_memory_restart: None,
            }),
        ),
        (
            "pm2 restart web --max-memory-restart=300M",
            Pm2Command::Restart(Restart {
                targets: words(&["web"]),
                update_env: false,
                max_memory_restart: Some(300 << 20),
            }),
        ),
        ("pm2 start", start_file("ecosystem.config.js", &[])),
        ("pm2 start apps.json --only a,b", start_file("apps.json", &["a", "b"])),
        (
            "pm2 start web -n other --update-env",
            Pm2Command::Start(Start {
                what: StartWhat::Targets(words(&["web"])),
                max_memory_restart: None,
                name: Some("other".into()),
                update_env: true,
            }),
        ),
        ("pm2 logs", Pm2Command::Logs(logs(None, 15))),
        ("pm2 logs all", Pm2Command::Logs(logs(None, 15))),
        (
            "pm2 log web --nostream --raw --err",
            Pm2Command::Logs(Logs {
                follow: false,
                shape: LogShape::Raw,
                streams: Streams::Err,
                ..logs(Some("web"), 15)
            }),
        ),
        ("pm2 logs -n 5 --json", Pm2Command::Logs(Logs { shape: LogShape::Json, ..logs(None, 5) })),
        ("pm2 logs --format", Pm2Command::Logs(Logs { shape: LogShape::Pairs, ..logs(None, 15) })),
        ("pm2 logs /web/", Pm2Command::Logs(logs(Some("/web/"), 15))),
        (
            "pm2 logs web --highlight ERR --timestamp",
            Pm2Command::Logs(Logs {
                highlight: Some("ERR".into()),
                timestamp: Some(DateFormat::parse("YYYY-MM-DD-HH:mm:ss").unwrap()),
                ..logs(Some("web"), 15)
            }),
        ),
        (
            "pm2 logs --timestamp HH:mm --nostream web",
            Pm2Command::Logs(Logs {
                timestamp: Some(DateFormat::parse("HH:mm").unwrap()),
                follow: false,
                ..logs(Some("web"), 15)
            }),
        ),
        ("pm2 logs --help", Pm2Command::Help),
        ("pm2 restart web -h", Pm2Command::Help),
        ("pm2 restart /web/", restart(&["/web/"], false)),
        ("pm2 logs --out --lines=0", Pm2Command::Logs(Logs { streams: Streams::Out, ..logs(None, 0) })),
        ("pm2 flush", Pm2Command::Flush(vec![])),
        ("pm2 reloadLogs", Pm2Command::ReloadLogs),
        ("pm2 ping", Pm2Command::Ping),
        ("pm2 pid", Pm2Command::Pid(None)),
        ("pm2 pid web", Pm2Command::Pid(Some("web".into()))),
        ("pm2 id web", Pm2Command::Id("web".into())),
        ("pm2 -h", Pm2Command::Help),
        ("pm2 --version", Pm2Command::Version),
    ];
    for (line, expected) in table {
        assert_eq!(parse_line(line), Ok(expected), "{line}");
    }
}

#[test]
fn what_is_refused_and_how() {
    let not_yet = |what: &str| format!("pm2 {what}: not there yet in dogwatch; what there is: pm2 help");
    let table = [
        ("pm2 scale web 2", not_yet("scale")),
        ("pm2 kill", "pm2 kill: not there yet in dogwatch\n  use `dogwatch down`".into()),
        ("pm2 nonsense", "pm2 nonsense: there is no such command; what there is: pm2 help".into()),
        ("pm2 start web -i 4", not_yet("start -i")),
        ("pm2 start web --watch=src", not_yet("start --watch")),
        ("pm2 list --sort cpu", not_yet("list --sort")),
        ("pm2 list web", not_yet("list web")),
        ("pm2 restart /srv/web.js", not_yet("restart /srv/web.js")),
        ("pm2 restart ecosystem.config.js", not_yet("restart ecosystem.config.js")),
        ("pm2 start -", not_yet("start -")),
        ("pm2 logs --follow", not_yet("logs --follow")),
        (
            "pm2 logs --timestamp web",
            "pm2 logs --timestamp: \"web\": dogwatch has no token 'w'; as a letter, write [w]; a service is named before: pm2 logs NAME --timestamp"
                .into(),
        ),
        ("pm2 restart /web(/", "pm2 restart /web(/: regex parse error:\n    web(\n       ^\nerror: unclosed group".into()),
        ("pm2 start web -- --help", not_yet("start --")),
        ("pm2 logs --highlight", "pm2 logs --highlight: needs a value; try: --highlight error".into()),
        ("pm2 start web -- --port 1", not_yet("start --")),
        ("pm2", "pm2: no command; try: pm2 list, pm2 logs NAME, pm2 restart NAME, pm2 help".into()),
        ("pm2 -s", "pm2: no command; try: pm2 list, pm2 logs NAME, pm2 restart NAME, pm2 help".into()),
        ("pm2 stop", "pm2 stop: name a service, its id, or all".into()),
        ("pm2 show", "pm2 show: name a service or its id".into()),
        ("pm2 show a b", "pm2 show: one service at a time".into()),
        ("pm2 logs --lines", "pm2 logs --lines: needs a value; try: --lines 50".into()),
        ("pm2 logs --lines many", "pm2 logs --lines: \"many\" is not a number; try: --lines 50".into()),
        (
            "pm2 start web --max-memory-restart 1.5G",
            "pm2 start --max-memory-restart: \"1.5G\" is not a size; write digits and K, M or G, like 512M"
                .into(),
        ),
        (
            "pm2 start a.config.js web",
            "pm2 start: an ecosystem file stands alone; choose of it with --only a,b".into(),
        ),
        (
            "pm2 start web --only a",
            "pm2 start --only: chooses from an ecosystem file, and none is named".into(),
        ),
    ];
    for (line, expected) in table {
        assert_eq!(parse_line(line), Err(expected), "{line}");
    }
}

#[test]
fn how_it_is_answered() {
    let manner_of = |line: &str| manner(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(manner_of("list web"), Manner::default());
    assert_eq!(manner_of("stop web -s"), Manner { silent: true, ..Manner::default() });
    let both = Manner { no_colour: true, mini: true, ..Manner::default() };
    assert_eq!(manner_of("--no-color ls -m"), both);
}

proptest::proptest! {
    #[test]
    fn never_panics(args in proptest::collection::vec("(start|logs|-{0,2}[a-z=-]{0,6}|--lines|[0-9]{0,3}|\\PC{0,3})", 0..6)) {
        let _ = parse(&args);
    }
}
