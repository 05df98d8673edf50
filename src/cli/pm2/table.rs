//! Tables in pm2's box drawing.

/// Draws `rows` under `header` (or without one, if it is empty). A column is as wide as `least` says, or as its
/// longest cell if that is more or if the terminal has not so many `columns`. Nothing is cut off: scripts read
/// these tables.
pub(super) fn draw(header: &[&str], least: &[usize], rows: &[Vec<String>], columns: Option<usize>) -> String {
    draw_painted(header, least, rows, columns, |_, cell| cell)
}

/// The same; `paint` gets each finished cell of a row and its column.
pub(super) fn draw_painted(
    header: &[&str],
    least: &[usize],
    rows: &[Vec<String>],
    columns: Option<usize>,
    paint: impl Fn(usize, String) -> String,
) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let longest = |column: usize| {
        let cells = rows.iter().map(|row| row[column].as_str());
        let title = header.get(column).copied().unwrap_or("");
        let lengths = cells.chain([title]).map(|cell| cell.chars().count());
        lengths.max().unwrap_or(0)
    };
    let needed: Vec<usize> = (0..least.len()).map(longest).collect();
    let usual: Vec<usize> = needed.iter().zip(least).map(|(a, b)| *a.max(b)).collect();
    let total = usual.iter().map(|width| width + 3).sum::<usize>() + 1;
    let widths = match columns.is_some_and(|columns| total > columns) {
        true => needed,
        false => usual,
    };
    let rule = |left: &str, between: &str, right: &str| {
        let lines: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", lines.join(between))
    };
    let padded = |cells: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        cells.zip(&widths).map(|(cell, width)| format!(" {cell:width$} ")).collect()
    };
    let line = |cells: Vec<String>| format!("│{}│\n", cells.join("│"));
    let mut text = rule("┌", "┬", "┐");
    if !header.is_empty() {
        text += &line(padded(&mut header.iter().copied()));
        text += &rule("├", "┼", "┤");
    }
    for row in &rows {
        let cells = padded(&mut row.iter().map(String::as_str)).into_iter().enumerate();
        text += &line(cells.map(|(column, cell)| paint(column, cell)).collect());
    }
    text + &rule("└", "┴", "┘")
}

/// A path or an argument may contain what a terminal would obey.
fn printable(cell: &str) -> String {
    cell.chars()
        .flat_map(|c| match c.is_control() {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws() {
        let rows = [vec!["1".to_owned(), "a\u{1b}[31m".to_owned()]];
        let expected = "\
┌────┬─────────────┐
│ id │ ↺           │
├────┼─────────────┤
│ 1  │ a\\u{1b}[31m │
└────┴─────────────┘
";
        assert_eq!(draw(&["id", "↺"], &[2, 4], &rows, None), expected);
    }

    #[test]
    fn narrower_where_the_terminal_is() {
        let rows = [vec!["1".to_owned()]];
        assert_eq!(draw(&[], &[3], &rows, Some(7)), "┌─────┐\n│ 1   │\n└─────┘\n");
        assert_eq!(draw(&[], &[3], &rows, Some(6)), "┌───┐\n│ 1 │\n└───┘\n");
    }
}
