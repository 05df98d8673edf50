//! The README says what is.

use crate::harness::Machine;

const README: &str = include_str!("../../README.md");

#[test]
fn its_entry_is_right_and_its_commands_are_there() {
    let entry = README.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let machine = Machine::new(entry);
    let checked = machine.run(&["check"]);
    assert_eq!(checked.code, 0, "{checked:#?}");
    let help = machine.ok(&["--help"]);
    for line in README.lines().filter(|line| line.starts_with("| `")) {
        let words =
            line.split('`').skip(1).step_by(2).filter(|word| !word.starts_with(['-', '/', '$', '~', 'D']));
        let cell = line.split('|').nth(1).unwrap();
        for word in words.filter(|word| cell.contains(&format!("`{word}`"))) {
            let command = word.split([' ', '[']).next().unwrap();
            assert!(
                help.contains(&format!("  {command}")) || command == "list" || command == "ls",
                "{command}\n{help}"
            );
        }
    }
}

#[test]
fn its_exit_codes_are_those_of_the_program() {
    let readme: Vec<&str> = README.split_whitespace().collect();
    let readme = readme.join(" ");
    let codes = include_str!("../../src/exit_code.rs");
    for code in codes.lines().filter(|line| line.starts_with("pub const")) {
        let number = code.rsplit(' ').next().unwrap().trim_end_matches(';');
        let told = readme.contains(&format!(" {number} "));
        assert!(told, "exit code {number} is not in the README");
    }
}

#[test]
fn its_make_targets_are_in_the_makefile() {
    let makefile = include_str!("../../Makefile");
    for word in README.split("`make ").skip(1).chain(README.split("\nmake ").skip(1)) {
        let target = word.split([' ', '`', '\n']).next().unwrap();
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
}
