//! The boxes of an MP4 file (ISO/IEC 14496-12, 4.2): a length, a type, and a body that may hold boxes.

use super::ClipError;

/// A box, or the whole file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mp4Box<'a> {
    kind: [u8; 4],
    /// Where its body begins in the file.
    at: usize,
    body: &'a [u8],
}

/// Bytes of length and type.
const HEADER: usize = 8;

impl<'a> Mp4Box<'a> {
    /// The file as a box.
    pub(super) fn file(bytes: &'a [u8]) -> Self {
        Self {
            kind: *b"file",
            at: 0,
            body: bytes,
        }
    }

    pub(super) fn is(&self, kind: &[u8; 4]) -> bool {
        self.kind == *kind
    }

    /// Where its body begins in the file.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Where it begins in the file.
    pub(super) fn start(&self) -> usize {
        self.at.saturating_sub(HEADER)
    }

    /// Where it ends in the file.
    pub(super) fn end(&self) -> usize {
        self.at + self.body.len()
    }

    /// Bytes of its body, by their places in the file.
    pub(super) fn slice(&self, from: usize, to: usize) -> Result<&'a [u8], ClipError> {
        let body = from
            .checked_sub(self.at)
            .zip(to.checked_sub(self.at))
            .and_then(|(from, to)| self.body.get(from..to));
        body.ok_or(ClipError::CutShort)
    }

    /// The boxes in its body, which begin behind `skip` bytes of fields. A length of 0 or 1, to the end or of 64 bits,
    /// does not occur in our clips and reads as cut short.
    pub(super) fn children(&self, skip: usize) -> Result<Vec<Self>, ClipError> {
        let mut children = Vec::new();
        let mut at = skip;
        while at < self.body.len() {
            let length = usize::try_from(self.u32(at)?).map_err(|_| ClipError::CutShort)?;
            let kind = self.u32(at + 4)?.to_be_bytes();
            let body = self.body.get(at + HEADER..at + length);
            children.push(Self {
                kind,
                at: self.at + at + HEADER,
                body: body.ok_or(ClipError::CutShort)?,
            });
            at += length;
        }
        Ok(children)
    }

    /// The first box of this type in its body, which has no fields before its boxes.
    pub(super) fn child(&self, kind: &[u8; 4]) -> Result<Self, ClipError> {
        let children = self.children(0)?;
        let found = children.into_iter().find(|child| child.is(kind));
        found.ok_or(ClipError::Missing(*kind))
    }

    pub(super) fn byte(&self, at: usize) -> Result<u8, ClipError> {
        self.body.get(at).copied().ok_or(ClipError::CutShort)
    }

    pub(super) fn u16(&self, at: usize) -> Result<u16, ClipError> {
        self.array(at).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&self, at: usize) -> Result<u32, ClipError> {
        self.array(at).map(u32::from_be_bytes)
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], ClipError> {
        let rest = self.body.get(at..).ok_or(ClipError::CutShort)?;
        rest.first_chunk().copied().ok_or(ClipError::CutShort)
    }
}
