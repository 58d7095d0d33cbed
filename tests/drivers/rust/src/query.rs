//! Texts, values that only their asker knows, and the comparison.

use fastrand::Rng;

/// What is asked for beside the values.
macro_rules! settings {
    () => {
        "current_setting('application_name') as application, current_setting('TimeZone') as zone, \
         current_setting('search_path') as path, pg_backend_pid() as pid"
    };
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Int(i32),
    Text(String),
    Float(f64),
    Bool(bool),
    Bytes(Vec<u8>),
}

/// Of the second column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Int,
    Text,
    Float,
    Bool,
    Bytes,
}

/// One text with two parameters.
pub struct Question {
    pub text: &'static str,
    pub id: i64,
    pub value: Value,
    pub answer: Kind,
    /// Of the second column, one for each row.
    pub expected: Vec<Value>,
    /// The table is another one for each client, and the value was joined to its name.
    pub own: bool,
}

pub struct Row {
    pub id: i64,
    pub value: Value,
    pub application: String,
    pub zone: String,
    pub path: String,
    pub pid: i32,
}

/// Who asks. Clients with an odd number have settings of their own; the others share theirs, so that a pooler has nothing to
/// set between them: `PgBouncer`'s SET would drop the unnamed statement, and an error would hide the wrong rows.
#[derive(Clone, Copy)]
pub struct Client {
    pub index: u64,
}

pub struct Judgement {
    pub row: Option<String>,
    pub setting: Option<String>,
    pub pid: Option<i32>,
}

impl Value {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Int(_) => Kind::Int,
            Self::Text(_) => Kind::Text,
            Self::Float(_) => Kind::Float,
            Self::Bool(_) => Kind::Bool,
            Self::Bytes(_) => Kind::Bytes,
        }
    }
}

impl Client {
    fn group(self) -> u64 {
        if self.index.is_multiple_of(2) { 0 } else { self.index }
    }

    pub fn application(self) -> String {
        format!("driver-{}", self.group())
    }

    pub fn schema(self) -> String {
        format!("client_{}", self.group())
    }

    pub fn zone(self) -> String {
        format!("Etc/GMT{:+}", (self.group() % 26).cast_signed() - 12)
    }

    pub fn ask(self, random: &mut Rng, id: i64) -> Question {
        let simple = |text, value: Value| Question {
            text,
            id,
            answer: value.kind(),
            expected: vec![value.clone()],
            value,
            own: false,
        };
        let word = format!("ä{:x}", random.u64(..));
        match random.u8(..7) {
            0 => simple(
                concat!("select $1::bigint as id, $2::integer as value, ", settings!()),
                Value::Int(random.i32(..)),
            ),
            1 => simple(concat!("select $1::bigint as id, $2::text as value, ", settings!()), Value::Text(word)),
            2 => simple(
                concat!("select $1::bigint as id, $2::double precision as value, ", settings!()),
                Value::Float(random.f64()),
            ),
            3 => simple(
                concat!("select $1::bigint as id, $2::boolean as value, ", settings!()),
                Value::Bool(random.bool()),
            ),
            4 => {
                let bytes = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
                simple(concat!("select $1::bigint as id, $2::bytea as value, ", settings!()), Value::Bytes(bytes))
            }
            5 => Question {
                text: concat!("select $1::bigint as id, own.name || $2::text as value, ", settings!(), " from own"),
                expected: vec![Value::Text(self.schema() + &word)],
                own: true,
                ..simple("", Value::Text(word))
            },
            _ => {
                let count = random.i32(1..=5);
                Question {
                    text: concat!(
                        "select $1::bigint as id, n as value, ",
                        settings!(),
                        " from generate_series(1, $2::integer) n"
                    ),
                    expected: (1..=count).map(Value::Int).collect(),
                    ..simple("", Value::Int(count))
                }
            }
        }
    }

    /// What is wrong with the rows, what with the settings, and the server's process that answered.
    pub fn judge(self, question: &Question, rows: &[Row]) -> Judgement {
        let pid = rows.last().map(|row| row.pid);
        let wrong = |text| Judgement { row: Some(text), setting: None, pid };
        if rows.len() != question.expected.len() {
            return wrong(format!("{} rows, not {}", rows.len(), question.expected.len()));
        }
        let mut setting = None;
        for (row, expected) in rows.iter().zip(&question.expected) {
            if row.id != question.id {
                return wrong(format!("id {}, not {}", row.id, question.id));
            }
            if row.value != *expected {
                match (&row.value, &question.value) {
                    (Value::Text(seen), Value::Text(word)) if question.own && seen.ends_with(word) => {
                        setting = Some(format!("table of {seen}, not {expected:?}"));
                    }
                    _ => return wrong(format!("value {:?}, not {expected:?}", row.value)),
                }
            }
            for (seen, own) in
                [(&row.application, self.application()), (&row.zone, self.zone()), (&row.path, self.schema())]
            {
                if *seen != own {
                    setting = Some(format!("setting {seen}, not {own}"));
                }
            }
        }
        Judgement { row: None, setting, pid }
    }
}
