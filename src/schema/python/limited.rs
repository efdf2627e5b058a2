//! Text that is cut while it is made, so that no quotation is much larger than what upstream would quote of a small value.

use std::fmt::{self, Display, Write};

/// Characters that an error text quotes of one value. Upstream quotes all of it, but a value may be as large as a request, and its
/// quotation larger by the square.
pub(crate) const QUOTED_MAX: usize = 4096;

const ELLIPSIS: &str = "...";

/// Takes text up to a number of characters. Beyond that, writing fails, which ends the writer's work as well.
pub(super) struct Limited {
    text: String,
    room: usize,
    is_whole: bool,
}

impl Limited {
    /// For a text of which the first `room` characters are wanted in any case.
    pub(super) fn part(room: usize) -> Self {
        Self { text: String::new(), room, is_whole: false }
    }

    /// For a text that is of use only if it has no more than `room` characters.
    pub(super) fn whole(room: usize) -> Self {
        Self { is_whole: true, ..Self::part(room) }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Whether a text can be left out without looking at it, because it would not fit.
    pub(super) fn is_hopeless(&self, text: &str) -> bool {
        // A character has four bytes at most.
        self.is_whole && text.len() / 4 > self.room
    }
}

impl Write for Limited {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match text.char_indices().nth(self.room) {
            None => {
                self.room -= text.chars().count();
                self.text.push_str(text);
                Ok(())
            }
            Some((end, _)) => {
                self.room = 0;
                self.text.push_str(text.get(..end).unwrap_or_default());
                Err(fmt::Error)
            }
        }
    }
}

/// The first `most` characters of what `write` writes, with an ellipsis if there are more.
pub(super) fn cut(most: usize, write: impl FnOnce(&mut Limited) -> fmt::Result) -> String {
    let mut limited = Limited::part(most);
    let is_cut = write(&mut limited).is_err();
    limited.into_text() + if is_cut { ELLIPSIS } else { "" }
}

/// Texts of a client, shown one after the other up to [`QUOTED_MAX`] characters.
pub(crate) fn excerpts(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    cut(QUOTED_MAX, |to| texts.into_iter().try_for_each(|text| to.write_str(text.as_ref())))
}

/// Shows a text of a client up to [`QUOTED_MAX`] characters.
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(QUOTED_MAX) {
            None => f.write_str(self.0),
            Some((end, _)) => write!(f, "{}{ELLIPSIS}", self.0.get(..end).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_whole_and_the_rest_is_cut_at_a_character() {
        let longest = "é".repeat(QUOTED_MAX);
        assert_eq!(Excerpt(&longest).to_string(), longest);
        assert_eq!(excerpts([longest.as_str(), ""]), longest);
        let longer = format!("{longest}é");
        assert_eq!(Excerpt(&longer).to_string(), format!("{longest}..."));
        assert_eq!(excerpts(["x", longest.as_str()]), format!("x{}...", "é".repeat(QUOTED_MAX - 1)));
    }

    #[test]
    fn a_writer_ends_when_there_is_no_room() {
        let mut pieces = 0;
        let text = cut(10, |to| {
            (0..1_000_000).try_for_each(|_| {
                pieces += 1;
                to.write_str("abc")
            })
        });
        assert_eq!((text.as_str(), pieces), ("abcabcabca...", 4));
    }
}
