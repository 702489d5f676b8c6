//! An archive as a sequence of members, each of them checked, within limits.
//!
//! The `tar` crate knows what a header looks like; going from one to the next is done here, for it
//! reads names of any length into memory and takes a missing end for one.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use tar::{EntryType, Header, PaxExtensions};

use super::error::{ArchiveError, Fault};
use super::{Format, Limits, path};

const BLOCK: usize = 512;
/// The longest member that only describes the next one.
const MAX_NOTE: u64 = 64 * 1024;

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    /// Its path, for messages.
    pub(super) shown: String,
    /// Its path, top directory first; never empty.
    pub(super) path: Vec<String>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    /// Seconds since the epoch.
    pub(super) mtime: i64,
}

#[derive(Debug)]
pub(super) enum Kind {
    Directory,
    /// Its bytes are read from [`Members`].
    File,
    /// With what it points to, unchecked.
    Symlink(Vec<u8>),
    /// With the path of the member it is another name of.
    Hardlink(Vec<String>),
}

/// The members of an archive, in its order. It reads the contents of the current one.
pub(super) struct Members<'a> {
    input: Box<dyn Read + 'a>,
    limits: Limits,
    /// Bytes read, as they are compressed.
    compressed: Rc<Cell<u64>>,
    /// Bytes read, as they are not.
    read: u64,
    members: u64,
    /// What is left of the current member's contents, and of its last block.
    left: u64,
    padding: u64,
    /// The path of the current member.
    shown: String,
}

impl<'a> Members<'a> {
    /// Finds out how `input` is compressed.
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
        Ok(Self { input, limits, compressed, read: 0, members: 0, left: 0, padding: 0, shown })
    }

    /// The next member, or `None` behind the last one. What was not read of the one before is
    /// passed over.
    pub(super) fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        let mut notes = Notes::default();
        loop {
            let mut rest = self.left + self.padding;
            (self.left, self.padding) = (0, 0);
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
            self.left = size;
            self.padding = size.next_multiple_of(BLOCK as u64) - size;
            match kind {
                EntryType::GNULongName => notes.path = Some(self.name_note()?),
                EntryType::GNULongLink => notes.link = Some(self.name_note()?),
                EntryType::XHeader | EntryType::XGlobalHeader => {
                    self.pax_note(&mut notes, kind == EntryType::XGlobalHeader)?;
                }
                _ => match self.member(header, raw, std::mem::take(&mut notes), size)? {
                    // `.` is where the archive was made.
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
            // What can't be read there is no reason to refuse it.
            mode: header.mode().unwrap_or(0o600),
            mtime: header.mtime().ok().and_then(|time| time.try_into().ok()).unwrap_or_default(),
        })
    }

    /// The contents of a GNU member that is the next one's name.
    fn name_note(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let mut name = self.note()?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    /// The contents of a POSIX member that describes the next one, or all that follow.
    fn pax_note(&mut self, notes: &mut Notes, global: bool) -> Result<(), ArchiveError> {
        let note = self.note()?;
        for record in PaxExtensions::new(&note) {
            let record =
                record.map_err(|_| ArchiveError::damaged("a pax header that can't be read"))?;
            let value = record.value_bytes().to_vec();
            match record.key_bytes() {
                // Nobody writes these for all members; what they would mean is anybody's guess.
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
        if self.left > MAX_NOTE {
            return Err(self.fault(Fault::LongName));
        }
        let mut note = vec![0; self.left as usize];
        self.fill(&mut note)?;
        self.left = 0;
        Ok(note)
    }

    /// Reads to the end of everything, which checks the compression's own sums.
    fn end(&mut self) -> Result<(), ArchiveError> {
        self.shown = "the end".to_owned();
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.some(&mut buffer)? {
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
        let part = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if part == 0 {
            return Ok(0);
        }
        let read = self.some(&mut buffer[..part])?;
        if read == 0 {
            return Err(ArchiveError::damaged("it ends in the middle of a file"));
        }
        self.left -= read as u64;
        Ok(read)
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), ArchiveError> {
        while !buffer.is_empty() {
            match self.some(buffer)? {
                0 => return Err(ArchiveError::damaged("its end is missing")),
                read => buffer = &mut buffer[read..],
            }
        }
        Ok(())
    }

    /// Every byte comes through here, and is counted.
    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
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

/// What members say of the one that follows them.
#[derive(Default)]
struct Notes {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Whether a member only says something of those that follow.
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
    // Its own eight bytes count as spaces.
    let sum =
        |range: std::ops::Range<usize>| -> u32 { block[range].iter().map(|b| u32::from(*b)).sum() };
    let expected = sum(0..148) + 8 * u32::from(b' ') + sum(156..BLOCK);
    match header.cksum() {
        Ok(stated) if stated == expected => Ok(()),
        _ => Err(ArchiveError::damaged("what should be a header of tar is none")),
    }
}

/// A path as it can be shown: what is odd in it escaped, and not all of it if it is endless.
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
