//! Where the next request line of an HTTP/1 connection begins.

/// How far the bytes behind a request line have come.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// Bytes behind the blank line that ends the head; `None`: it has not come yet.
    after: Option<u64>,
    /// Whether the present header line is empty so far.
    fresh: bool,
    /// The last bytes.
    tail: [u8; 4],
}

impl Position {
    /// More bytes have come; the first ones begin with the end of the request line.
    pub(super) fn advance(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while self.after.is_none()
            && let Some((byte, behind)) = rest.split_first()
        {
            rest = behind;
            match byte {
                b'\n' if self.fresh => self.after = Some(0),
                b'\n' => self.fresh = true,
                b'\r' => {}
                _ => self.fresh = false,
            }
        }
        if let Some(after) = &mut self.after {
            *after = after.saturating_add(length(rest));
        }
        for byte in bytes.iter().skip(bytes.len().saturating_sub(self.tail.len())) {
            let [_, second, third, fourth] = self.tail;
            self.tail = [second, third, fourth, *byte];
        }
    }

    /// How many bytes of the body come before the next request line. `None` where that cannot be told, as some of the next head
    /// has come already. `body`: its length, `None` for a chunked one; `whole`: that has been read to its end.
    pub(super) fn until_next_line(&self, body: Option<u64>, whole: bool) -> Option<u64> {
        let after = self.after?;
        match body {
            Some(body) => body.checked_sub(after),
            None => (whole && self.tail == *b"\r\n\r\n").then_some(0),
        }
    }
}

pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(bytes: &[u8], piece: usize) -> Position {
        let mut position = Position::default();
        bytes.chunks(piece).for_each(|bytes| position.advance(bytes));
        position
    }

    #[test]
    fn the_next_line_begins_behind_the_body() {
        for piece in [1, 2, 3, 99] {
            let until = |bytes: &[u8], body| behind(bytes, piece).until_next_line(body, true);
            assert_eq!(until(b"\r\nHost: x\r\n", Some(0)), None, "the head is not over");
            for head in [&b"\r\nHost: x\r\n\r\n"[..], b"\nHost: x\n\n", b"\r\n\r\n", b"\n\r\n"] {
                assert_eq!(until(head, Some(0)), Some(0));
                assert_eq!(until(head, Some(9)), Some(9));
                assert_eq!(until(&[head, b"\r\n\r\nbody"].concat(), Some(9)), Some(1));
                assert_eq!(until(&[head, b"body"].concat(), Some(3)), None, "of the next head something has come");
            }
            let chunked = b"\r\n\r\n1\r\nx\r\n0\r\n\r\n";
            assert_eq!(until(chunked, None), Some(0));
            assert_eq!(until(&[&chunked[..], b"GET"].concat(), None), None);
            assert_eq!(behind(chunked, piece).until_next_line(None, false), None, "it may go on");
        }
    }
}
