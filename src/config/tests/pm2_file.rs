use super::*;

/// The environment of this test, to find node in; `None` where there is no node.
fn with_node() -> Option<Surroundings> {
    let around = Surroundings::of_this_process();
    find_node(&around).is_some().then_some(around)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// Writes and reads a file; an error comes back without the folder's name.
    fn read(&self, name: &str, text: &str, around: &Surroundings) -> Result<Vec<Pm2App>, String> {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        let folder = format!("{}/", self.0.path().display());
        read_within(&path, around, Duration::from_secs(30))
            .map(|file| file.apps)
            .map_err(|error| error.to_string().replace(&folder, ""))
    }
}

fn app(name: &str, script: Option<&str>, memory: Option<u64>) -> Pm2App {
    Pm2App {
        name: name.to_owned(),
        script: script.map(str::to_owned),
        max_memory_restart: memory,
        env: BTreeMap::new(),
        log: Pm2Log::default(),
        unused: Vec::new(),
    }
}

#[test]
fn pm2s_sizes() {
    let table = [
        ("90", Some(90)),
        ("1G", Some(1 << 30)),
        ("512M", Some(512 << 20)),
        ("64K", Some(64 << 10)),
        ("0", Some(0)),
        ("100MB", None),
        ("1.5G", None),
        ("100m", None),
        ("G", None),
        ("", None),
        ("-1M", None),
        ("+1M", None),
        ("é", None),
        ("99999999999999999999", None),
        ("99999999999999G", None),
    ];
    for (text, bytes) in table {
        assert_eq!(parse_memory(text), bytes, "{text}");
    }
}

#[test]
fn what_logs_look_like() {
    let folder = Folder::new();
    let entry = |fields: &str| {
        let text = format!(r#"{{"name": "api", {fields}}}"#);
        let apps = folder.read("e.json", &text, &Surroundings::default()).unwrap();
        (apps[0].log.entry(), apps[0].unused.join(" "))
    };
    for (fields, log, unused) in [
        (r#""time": true"#, Some(r#"{ timestamps = "inline" }"#), ""),
        (r#""time": false, "merge_logs": true, "log_type": 7"#, None, ""),
        (
            r#""log_date_format": "YYYY-MM-DD HH:mm Z", "time": true"#,
            Some(r#"{ timestamps = "inline", date_format = "YYYY-MM-DD HH:mm Z" }"#),
            "",
        ),
        (r#""log_type": "json", "log_date_format": "X""#, Some(r#"{ format = "json" }"#), ""),
        (r#""out_file": "a.log", "error_file": "a.log", "combine_logs": true"#, Some("{ merge = true }"), ""),
        (r#""out_file": "a.log", "error_file": "b.log", "log": "c""#, None, "error_file log out_file"),
    ] {
        assert_eq!(entry(fields), (log.map(str::to_owned), unused.to_owned()), "{fields}");
        if let Some(log) = log {
            let file = format!("[services.api]\ncommand = [\"./app\"]\nlog = {log}\n");
            let path = folder.0.path().join("ecosystem.toml");
            std::fs::write(&path, file).unwrap();
            assert!(super::super::load(&path, &Surroundings::default()).is_ok(), "{log}");
        }
    }
}

#[test]
fn json_in_every_shape() {
    let folder = Folder::new();
    let read = |text: &str| folder.read("e.json", text, &Surroundings::default());
    let full = r#"{"apps": [
        {"name": "api", "script": "api.js", "max_memory_restart": "1G", "watch": false, "instances": 2,
         "env": {"A": "1", "PORT": 3000, "ON": true, "NO": null}, "env_production": {}},
        {"script": "dir/ws.js", "maxMemoryRestart": 1024}
    ]}"#;
    let mut api = app("api", Some("api.js"), Some(1 << 30));
    api.env = [("A", "1"), ("ON", "true"), ("PORT", "3000")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    api.unused = ["env_production", "instances", "watch"].map(str::to_owned).into();
    assert_eq!(read(full), Ok(vec![api, app("ws", Some("dir/ws.js"), Some(1024))]));
    let one = Ok(vec![app("a", None, None)]);
    for shape in [
        r#"[{"name": "a"}]"#,
        r#"{"name": "a"}"#,
        r#"{"apps": {"name": "a"}}"#,
        r#"{"pm2": [{"name": "a"}]}"#,
    ] {
        assert_eq!(read(shape), one, "{shape}");
    }
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let folder = Folder::new();
    let table = [
        ("7", "e.json: must export { apps: [ … ] }, not a number"),
        ("null", "e.json: must export { apps: [ … ] }, not nothing"),
        ("[]", "e.json: names no apps"),
        (r#"{"apps": "x"}"#, "e.json: must export { apps: [ … ] }, not a string"),
        ("[1]", "e.json: apps[0] must be an object, not a number"),
        ("[{}]", "e.json: apps[0] has neither a name nor a script"),
        (r#"[{"name": "a"}, {"name": ""}]"#, "e.json: apps[1].name must be a name, not \"\""),
        (r#"[{"script": ["a"]}]"#, "e.json: apps[0].script must be a string, not an array"),
        (
            r#"[{"name": "a", "max_memory_restart": "100MB"}]"#,
            "e.json: apps[0].max_memory_restart must be bytes, or digits with K, M or G, not \"100MB\"",
        ),
        (r#"[{"name": "a", "env": "A=1"}]"#, "e.json: apps[0].env must be an object, not \"A=1\""),
        ("{apps: []}", "cannot read e.json: not JSON: key must be a string at line 1 column 2"),
    ];
    for (text, expected) in table {
        let said = folder.read("e.json", text, &Surroundings::default());
        assert_eq!(said, Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn files_that_cannot_be_read() {
    let folder = Folder::new();
    let around = Surroundings::default();
    assert_eq!(
        read(Path::new("no/such.config.js"), &around).unwrap_err().to_string(),
        "cannot read no/such.config.js: there is no such file"
    );
    assert_eq!(
        folder.read("e.yml", "apps: []", &around).unwrap_err(),
        "cannot read e.yml: dogwatch reads pm2's .config.js and .json files, not YAML"
    );
    assert_eq!(
        folder.read("e.config.js", "module.exports = {}", &around).unwrap_err(),
        "cannot read e.config.js: it is JavaScript, and there is no `node` in PATH\n  install node, or write the apps as JSON"
    );
    std::fs::create_dir(folder.0.path().join("d.json")).unwrap();
    let said = read(&folder.0.path().join("d.json"), &around).unwrap_err().to_string();
    assert!(said.ends_with("/d.json: it is not a regular file"), "{said}");
}

#[test]
fn javascript_that_talks_requires_and_looks_around() {
    let Some(mut around) = with_node() else { return };
    around.env.insert("SHOP_NAME".to_owned(), "corner".to_owned());
    let folder = Folder::new();
    std::fs::write(folder.0.path().join("limit.js"), "module.exports = '300M'").unwrap();
    let common = "console.log('hello'); console.error('hello'); process.stdout.write('x'.repeat(200000));
        const path = require('path');
        module.exports = { apps: [{ name: process.env.SHOP_NAME, script: path.basename(__dirname + '/app.js'),
            max_memory_restart: require('./limit'), after: () => 1 }] };";
    let expected = Ok(vec![app("corner", Some("app.js"), Some(300 << 20))]);
    assert_eq!(folder.read("e.config.js", common, &around), expected);
    assert_eq!(folder.read("e.config.cjs", common, &around), expected);
    let module = "export default { apps: [{ name: 'a' }] };";
    assert_eq!(folder.read("e.config.mjs", module, &around), Ok(vec![app("a", None, None)]));
    let padding = format!("module.exports = [{{ name: 'a', script: 'x'.repeat({}) }}]", 300_000);
    assert_eq!(
        folder.read("big.config.js", &padding, &around).unwrap()[0].script.as_ref().unwrap().len(),
        300_000
    );
}

#[test]
fn javascript_that_fails() {
    let Some(around) = with_node() else { return };
    let folder = Folder::new();
    let table = [
        ("throw new Error('no luck')", "cannot read e.config.js: no luck"),
        ("require('./nowhere')", "cannot read e.config.js: Cannot find module './nowhere'"),
        ("module.exports = () => 1", "e.config.js: must export { apps: [ … ] }, not nothing"),
        ("module.exports = { apps: 7n }", "cannot read e.config.js: Do not know how to serialize a BigInt"),
        ("process.exit(3)", "cannot read e.config.js: node ended without an answer"),
        ("module.exports = 'x'.repeat(5 << 20)", "cannot read e.config.js: it exports more than 4 MiB"),
    ];
    for (text, expected) in table {
        assert_eq!(folder.read("e.config.js", text, &around), Err(expected.to_owned()), "{text}");
    }
    let said = folder.read("e.config.js", "\n{ apps: ", &around).unwrap_err();
    assert!(said.contains("e.config.js:") && said.contains("Unexpected"), "{said}");
}

#[test]
fn javascript_that_never_ends() {
    let Some(around) = with_node() else { return };
    let folder = Folder::new();
    let path = folder.0.path().join("e.config.js");
    std::fs::write(&path, "while (true) {}").unwrap();
    let said = read_within(&path, &around, Duration::from_millis(300));
    assert!(matches!(said, Err(Pm2FileError::TooSlow { .. })), "{said:?}");
}

#[test]
fn the_dashboards_file_of_this_repository() {
    let Some(around) = with_node() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ecosystem.dashboard-integration.config.js");
    let file = read(&path, &around).unwrap();
    let limits: Vec<_> = file.apps.iter().map(|app| (app.name.as_str(), app.max_memory_restart)).collect();
    assert_eq!(limits, [("dashboard-api-server", Some(1 << 30)), ("websocket-server", Some(512 << 20))]);
    assert_eq!(file.apps[0].unused, ["interpreter"]);
}
