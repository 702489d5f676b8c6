//! The members of an archive, each checked, within limits.
//!
//! The `tar` crate parses single headers. This file iterates over them itself, because the crate reads
//! names of any length into memory and accepts a missing end.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use tar::{EntryType, Header, PaxExtensions};

use super::error::{ArchiveError, Fault};
use super::{Format, Limits, path};

const BLOCK: usize = 512;
/// The maximum size of a note: a member that only describes the next one.
const MAX_NOTE: u64 = 64 * 1024;

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    /// Its escaped path, for messages.
    pub(super) shown: String,
    /// The names in its path, top directory first; never empty.
    pub(super) path: Vec<String>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    /// Seconds since the epoch.
    pub(super) mtime: i64,
}

#[derive(Debug)]
pub(super) enum Kind {
    Directory,
    /// [`Members::contents`] reads its bytes.
    File,
    /// With its target, unchecked.
    Symlink(Vec<u8>),
    /// With the path of its target member.
    Hardlink(Vec<String>),
}

/// The members of an archive, in its order, and the contents of the current one.
pub(super) struct Members<'a> {
    input: Box<dyn Read + 'a>,
    limits: Limits,
    /// The number of compressed bytes read.
    compressed: Rc<Cell<u64>>,
    /// The number of uncompressed bytes read.
    read: u64,
    members: u64,
    /// The unread bytes of the current member's contents.
    remaining: u64,
    /// The bytes after the contents, up to the end of their last block.
    padding: u64,
    /// The escaped path of the current member.
    shown: String,
}

impl<'a> Members<'a> {
    /// Detects the compression of `input` from its first bytes.
    pub(super) fn new(input: impl Read + 'a, limits: Limits) -> Result<Self, ArchiveError> {
        let compressed = Rc::new(Cell::new(0));
        let mut input =
            BufReader::with_capacity(64 * 1024, Counted { input, count: Rc::clone(&compressed) });
        let damaged = |source| ArchiveError::Damaged { source };
        let mut magic = Vec::new();
        input.by_ref().take(4).read_to_end(&mut magic).map_err(damaged)?;
        let format = Format::of_magic(&magic).ok_or(ArchiveError::Format)?;
        let input = io::Cursor::new(magic).chain(input);
        let input: Box<dyn Read + 'a> = match format {
            Format::Gzip => Box::new(MultiGzDecoder::new(input)),
            Format::Zstd => Box::new(zstd_decoder(input).map_err(damaged)?),
        };
        let shown = String::new();
        Ok(Self { input, limits, compressed, read: 0, members: 0, remaining: 0, padding: 0, shown })
    }

    /// The next member, or `None` after the last one. Skips unread contents of the previous one.
    pub(super) fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        let mut notes = Notes::default();
        loop {
            let mut rest = self.remaining + self.padding;
            (self.remaining, self.padding) = (0, 0);
            while rest > 0 {
                let mut block = [0; BLOCK];
                let part = rest.min(BLOCK as u64);
                self.fill(&mut block[..part as usize])?;
                rest -= part;
            }
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            if block == [0; BLOCK] {
                return self.end().map(|()| None);
            }
            let header = Header::from_byte_slice(&block);
            check_sum(header, &block)?;
            let kind = header.entry_type();
            let raw = match is_note(kind) {
                true => None,
                false => notes.path.take(),
            };
            let raw = raw.unwrap_or_else(|| header.path_bytes().into_owned());
            self.shown = shown(&raw);
            self.members += 1;
            if self.members > self.limits.members {
                return Err(self.fault(Fault::Many { limit: self.limits.members }));
            }
            let size = header.entry_size().map_err(|_| self.fault(Fault::Size))?;
            if size > self.limits.bytes.saturating_sub(self.read) {
                return Err(self.fault(Fault::Big { limit: self.limits.bytes }));
            }
            self.remaining = size;
            self.padding = size.next_multiple_of(BLOCK as u64) - size;
            match kind {
                EntryType::GNULongName => notes.path = Some(self.name_note()?),
                EntryType::GNULongLink => notes.link = Some(self.name_note()?),
                EntryType::XHeader | EntryType::XGlobalHeader => {
                    self.pax_note(&mut notes, kind == EntryType::XGlobalHeader)?;
                }
                _ => match self.member(header, raw, std::mem::take(&mut notes), size)? {
                    // `.` is the directory above the top.
                    member if member.path.is_empty() => {}
                    member => return Ok(Some(member)),
                },
            }
        }
    }

    fn member(
        &self,
        header: &Header,
        raw: Vec<u8>,
        notes: Notes,
        size: u64,
    ) -> Result<Member, ArchiveError> {
        let fault = |fault| self.fault(fault);
        if notes.size.is_some_and(|noted| noted != size) {
            return Err(fault(Fault::Size));
        }
        let link = || {
            let header = || header.link_name_bytes().map(|name| name.into_owned());
            notes.link.clone().or_else(header).unwrap_or_default()
        };
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link()),
            EntryType::Link => {
                Kind::Hardlink(path::names(&link()).map_err(|_| fault(Fault::LinkOutside))?)
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                return Err(fault(Fault::Special));
            }
            _ => return Err(fault(Fault::Kind)),
        };
        if size > 0 && !matches!(kind, Kind::File) {
            return Err(fault(Fault::Size));
        }
        Ok(Member {
            shown: self.shown.clone(),
            path: path::names(&raw).map_err(fault)?,
            kind,
            // Invalid modes and times are replaced by defaults.
            mode: header.mode().unwrap_or(0o600),
            mtime: header.mtime().ok().and_then(|time| time.try_into().ok()).unwrap_or_default(),
        })
    }

    /// The contents of a GNU note: the name of the next member.
    fn name_note(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let mut name = self.note()?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    /// Reads a POSIX note, which describes the next member, or all that follow if it is `global`.
    fn pax_note(&mut self, notes: &mut Notes, global: bool) -> Result<(), ArchiveError> {
        let note = self.note()?;
        for record in PaxExtensions::new(&note) {
            let record = record.map_err(|_| ArchiveError::damaged("a pax header is invalid"))?;
            let value = record.value_bytes().to_vec();
            match record.key_bytes() {
                // No program writes these for all members, and their meaning would be unclear.
                b"path" | b"linkpath" | b"size" if global => return Err(self.fault(Fault::Kind)),
                b"path" => notes.path = Some(value),
                b"linkpath" => notes.link = Some(value),
                b"size" => {
                    let size = str::from_utf8(&value).ok().and_then(|size| size.parse().ok());
                    notes.size = Some(size.ok_or_else(|| self.fault(Fault::Size))?);
                }
                key if key.starts_with(b"GNU.sparse") => return Err(self.fault(Fault::Kind)),
                _ => {}
            }
        }
        Ok(())
    }

    fn note(&mut self) -> Result<Vec<u8>, ArchiveError> {
        if self.remaining > MAX_NOTE {
            return Err(self.fault(Fault::LongName));
        }
        let mut note = vec![0; self.remaining as usize];
        self.fill(&mut note)?;
        self.remaining = 0;
        Ok(note)
    }

    /// Reads to the end of the input, so that the decoder checks its checksum.
    fn end(&mut self) -> Result<(), ArchiveError> {
        self.shown = "the end".to_owned();
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.read_some(&mut buffer)? {
                0 => return Ok(()),
                read if buffer[..read].iter().any(|byte| *byte != 0) => {
                    return Err(ArchiveError::Trailing);
                }
                _ => {}
            }
        }
    }

    /// Reads contents of the current member; 0 at their end.
    pub(super) fn contents(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let part = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        if part == 0 {
            return Ok(0);
        }
        let read = self.read_some(&mut buffer[..part])?;
        if read == 0 {
            return Err(ArchiveError::damaged("it ends in the middle of a file"));
        }
        self.remaining -= read as u64;
        Ok(read)
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), ArchiveError> {
        while !buffer.is_empty() {
            match self.read_some(buffer)? {
                0 => return Err(ArchiveError::damaged("its end is missing")),
                read => buffer = &mut buffer[read..],
            }
        }
        Ok(())
    }

    /// Reads some bytes. All reads go through here, where they are counted and limited.
    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let read = loop {
            match self.input.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ArchiveError::Damaged { source }),
                Ok(read) => break read,
            }
        };
        self.read += read as u64;
        if self.read > self.limits.bytes {
            return Err(self.fault(Fault::Big { limit: self.limits.bytes }));
        }
        let bomb = |ratio: &u64| {
            self.read > self.limits.unsuspicious
                && self.read > self.compressed.get().saturating_mul(*ratio)
        };
        match self.limits.ratio.filter(bomb) {
            Some(ratio) => Err(self.fault(Fault::Bomb { ratio })),
            None => Ok(read),
        }
    }

    fn fault(&self, fault: Fault) -> ArchiveError {
        ArchiveError::Entry { entry: self.shown.clone(), fault }
    }
}

/// The contents of notes about the next member.
#[derive(Default)]
struct Notes {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Whether a member is a note, which only describes members that follow.
fn is_note(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::GNULongName
            | EntryType::GNULongLink
            | EntryType::XHeader
            | EntryType::XGlobalHeader
    )
}

fn zstd_decoder<'a, R: BufRead + 'a>(input: R) -> io::Result<impl Read + 'a> {
    zstd::Decoder::with_buffer(input)
}

fn check_sum(header: &Header, block: &[u8; BLOCK]) -> Result<(), ArchiveError> {
    // The eight bytes of the checksum count as spaces.
    let sum =
        |range: std::ops::Range<usize>| -> u32 { block[range].iter().map(|b| u32::from(*b)).sum() };
    let expected = sum(0..148) + 8 * u32::from(b' ') + sum(156..BLOCK);
    match header.cksum() {
        Ok(stated) if stated == expected => Ok(()),
        _ => Err(ArchiveError::damaged("a tar header has a wrong checksum")),
    }
}

/// A path for messages: truncated, with control characters escaped.
fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(&path[..path.len().min(300)]).into_owned();
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(escape).collect()
}

struct Counted<R> {
    input: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}
