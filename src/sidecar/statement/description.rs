//! What a server says of a prepared statement: the types of its parameters, and its columns.
//!
//! PostgreSQL keeps both for the life of a prepared statement: the types of its parameters whatever becomes of the tables, and the
//! columns by refusing to run it once they would be others (`RevalidateCachedQuery` in `utils/cache/plancache.c`, 0A000).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use super::Statement;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Object ids of the types of all parameters.
    pub types: Box<[u32]>,
    /// Names, types, lengths and modifiers of the columns, hashed; none where the statement gives no rows.
    columns: Option<u64>,
}

impl Description {
    /// Of a statement without rows.
    #[cfg(test)]
    pub(super) fn of_types(types: &[u32]) -> Self {
        Self { types: types.into(), columns: None }
    }
}

/// Reads ParameterDescription, and then RowDescription or NoData, in whatever pieces they come.
#[derive(Debug, Default)]
pub struct Describing {
    types: Vec<u32>,
    hasher: DefaultHasher,
    rows: bool,
    /// Of the current message.
    at: usize,
    number: u32,
    column: Column,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Column {
    #[default]
    Name,
    /// Bytes of the fixed part that were read: table (4), number (2), type (4), length (2), modifier (4), format (2).
    Fixed(u8),
}

/// Types that a message may hold: PostgreSQL counts them in 16 bits.
const TYPES_MAX: usize = 65_535;

impl Describing {
    /// A message of type `kind` begins.
    pub fn begin(&mut self, kind: u8) {
        (self.at, self.number, self.column) = (0, 0, Column::Name);
        if kind == b't' {
            self.types.clear();
        } else {
            self.rows = kind == b'T';
            self.hasher = DefaultHasher::new();
        }
    }

    /// The next bytes of the body of the message of type `kind`.
    pub fn feed(&mut self, kind: u8, body: &[u8]) {
        for byte in body {
            match (kind, self.at) {
                (_, 0 | 1) => {}
                (b't', _) => {
                    self.number = self.number << 8 | u32::from(*byte);
                    if self.at % 4 == 1 && self.types.len() < TYPES_MAX {
                        self.types.push(self.number);
                    }
                }
                _ => self.column(*byte),
            }
            self.at += 1;
        }
    }

    /// Both have been read, of `statement`.
    pub fn of(&mut self, statement: &Statement) -> Rc<Description> {
        let columns = self.rows.then(|| self.hasher.finish());
        let mut last = statement.described.borrow_mut();
        if let Some(same) = last.as_ref().filter(|last| *last.types == *self.types && last.columns == columns) {
            return Rc::clone(same);
        }
        Rc::clone(last.insert(Rc::new(self.done())))
    }

    fn done(&self) -> Description {
        Description { types: self.types.clone().into(), columns: self.rows.then(|| self.hasher.finish()) }
    }

    fn column(&mut self, byte: u8) {
        match &mut self.column {
            Column::Name => {
                byte.hash(&mut self.hasher);
                if byte == 0 {
                    self.column = Column::Fixed(0);
                }
            }
            Column::Fixed(at) => {
                // Which table a column comes from does not count, nor the format, which is the portal's.
                if (6..16).contains(at) {
                    byte.hash(&mut self.hasher);
                }
                *at += 1;
                if *at == 18 {
                    self.column = Column::Name;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Field = (String, u32, u16, u32, u16, u32, u16);

    fn row(fields: &[Field]) -> Vec<u8> {
        let mut body = u16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
        for (name, table, number, kind, length, modifier, format) in fields {
            body.extend_from_slice(name.as_bytes());
            body.push(0);
            body.extend(table.to_be_bytes());
            body.extend(number.to_be_bytes());
            body.extend(kind.to_be_bytes());
            body.extend(length.to_be_bytes());
            body.extend(modifier.to_be_bytes());
            body.extend(format.to_be_bytes());
        }
        body
    }

    fn types(types: &[u32]) -> Vec<u8> {
        let mut body = u16::try_from(types.len()).unwrap().to_be_bytes().to_vec();
        for kind in types {
            body.extend(kind.to_be_bytes());
        }
        body
    }

    fn read(parameters: &[u32], fields: Option<&[Field]>, cut: usize) -> Description {
        let mut describing = Describing::default();
        let mut message = |kind, body: &[u8]| {
            describing.begin(kind);
            body.chunks(cut).for_each(|piece| describing.feed(kind, piece));
        };
        message(b't', &types(parameters));
        match fields {
            Some(fields) => message(b'T', &row(fields)),
            None => message(b'n', b""),
        }
        describing.done()
    }

    fn field() -> impl Strategy<Value = Field> {
        ("[a-c]{0,3}", 0..3_u32, 0..3_u16, 0..3_u32, 0..3_u16, 0..3_u32, 0..2_u16)
    }

    proptest! {
        #[test]
        fn it_is_the_same_however_the_bytes_are_cut_and_differs_only_in_what_counts(
            a in proptest::collection::vec(field(), 0..4),
            b in proptest::collection::vec(field(), 0..4),
            parameters in proptest::collection::vec(any::<u32>(), 0..5),
            cut in 1_usize..50,
        ) {
            let whole = read(&parameters, Some(&a), 10_000);
            prop_assert_eq!(&*whole.types, &*parameters);
            prop_assert_eq!(&whole, &read(&parameters, Some(&a), cut));
            let counts = |fields: &[Field]| -> Vec<_> {
                fields.iter().map(|(name, _, _, kind, length, modifier, _)| (name.clone(), *kind, *length, *modifier)).collect()
            };
            prop_assert_eq!(whole == read(&parameters, Some(&b), cut), counts(&a) == counts(&b));
            prop_assert_ne!(&whole, &read(&parameters, None, cut));
        }

        #[test]
        fn reading_never_panics(data in proptest::collection::vec(any::<u8>(), 0..300), kind in 0_usize..3) {
            let kind = *b"tTn".get(kind).unwrap();
            let mut describing = Describing::default();
            describing.begin(kind);
            describing.feed(kind, &data);
            describing.done();
        }
    }
}
