//! Tables as Python's prettytable draws them.

use std::fmt::Write as _;

/// Where the texts of a column stand, its heading among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Center,
    Right,
}

/// A column: its heading, and where its texts stand.
pub(super) type Column = (&'static str, Align);

/// The lines of a table, without a newline at the end.
pub(super) fn table<const N: usize>(columns: [Column; N], rows: &[[String; N]]) -> String {
    let mut widths = columns.map(|(heading, _)| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let mut text = String::new();
        for ((cell, (_, align)), width) in cells.into_iter().zip(columns).zip(widths) {
            let _ = write!(text, "| {} ", aligned(cell, align, width));
        }
        text + "|"
    };
    let rule: String = widths.map(|width| format!("+{}", "-".repeat(width + 2))).concat() + "+";
    let mut lines = vec![rule.clone(), line(columns.map(|(heading, _)| heading)), rule.clone()];
    lines.extend(rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
    lines.push(rule);
    lines.join("\n")
}

/// A text within the width of its column. What is left over in the middle goes where prettytable puts it: behind a text of odd
/// length, before one of even length.
fn aligned(text: &str, align: Align, width: usize) -> String {
    let length = text.chars().count();
    let excess = width.saturating_sub(length);
    let before = match align {
        Align::Right => excess,
        Align::Center if length % 2 == 1 => excess / 2,
        Align::Center => excess.div_ceil(2),
    };
    format!("{}{text}{}", " ".repeat(before), " ".repeat(excess - before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_looks_like_prettytables() {
        let row = |id: &str, size: &str| [id.to_owned(), size.to_owned()];
        let drawn = table([("ID", Align::Center), ("Size", Align::Right)], &[row("abcde", "1"), row("ab", "123456")]);
        let expected = "+-------+--------+\n\
                        |   ID  |   Size |\n\
                        +-------+--------+\n\
                        | abcde |      1 |\n\
                        |   ab  | 123456 |\n\
                        +-------+--------+";
        assert_eq!(drawn, expected);
        let expected = "+----+\n| ID |\n+----+\n+----+";
        assert_eq!(table([("ID", Align::Center)], &[]), expected);
        assert_eq!(aligned("abc", Align::Center, 6), " abc  ");
        assert_eq!(aligned("abcd", Align::Center, 7), "  abcd ");
    }
}
