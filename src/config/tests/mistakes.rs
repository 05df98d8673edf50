//! Every kind of mistake, word for word. The cases stand in `mistakes.txt`: a title, the file, what is printed.

use super::Folder;

const CASES: &str = include_str!("mistakes.txt");

/// One case: title, file, expected output.
fn cases() -> Vec<(&'static str, &'static str, &'static str)> {
    CASES
        .split("\n## ")
        .skip(1)
        .map(|case| {
            let (title, rest) = case.split_once('\n').unwrap();
            let (file, expected) = rest.split_once("---\n").unwrap_or_else(|| panic!("{title}"));
            (title, file, expected.trim_end())
        })
        .collect()
}

fn printed(file: &str) -> String {
    let folder = Folder::with(file);
    folder.write("bad.env", "A=1\nHIDDEN='secret\n");
    std::fs::create_dir(folder.path("folder")).unwrap();
    folder.mistakes()
}

#[test]
fn every_mistake_in_its_words() {
    let cases = cases();
    assert!(cases.len() >= 25);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(title, file, expected)| {
            let printed = printed(file);
            (printed != *expected).then(|| format!("\n## {title}\n{file}---\n{printed}\n"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join(""));
}

#[test]
fn five_different_mistakes_are_all_printed() {
    let file = "[services.web]
command = [\"./app\"]
memroy = { limit = \"100M\" }
stop = { timeout = 10 }
after = [\"databse\"]
listen = [\"localhost:3000\"]

[services.database]
cwd = \"data\"
";
    let expected = "ecosystem.toml:3:1: unknown key `memroy` in [services.web]
    3 | memroy = { limit = \"100M\" }
      | ^^^^^^ did you mean `memory`?
ecosystem.toml:4:20: `timeout` in [services.web.stop] must be a duration with its unit, not a bare number
    4 | stop = { timeout = 10 }
      |                    ^^ did you mean \"10s\"?
ecosystem.toml:5:10: `after` in [services.web]: there is no service `databse`
    5 | after = [\"databse\"]
      |          ^^^^^^^^^ did you mean `database`?
ecosystem.toml:6:11: `listen` in [services.web]: \"localhost:3000\" is not an address
    6 | listen = [\"localhost:3000\"]
      |           ^^^^^^^^^^^^^^^^ write \"127.0.0.1:3000\"
ecosystem.toml:8:11: `command` is missing in [services.database]
    8 | [services.database]
      |           ^^^^^^^^ add command = [\"./program\"]";
    assert_eq!(printed(file), expected);
}

#[test]
fn secrets_of_an_env_file_are_never_printed() {
    for (title, file, _) in cases() {
        assert!(!printed(file).contains("secret"), "{title}");
    }
}
