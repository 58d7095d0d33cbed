//! A JSON Patch in the making, beside the document as it will be. Every change is looked at before it is made: what is already so
//! is no operation, which is where idempotence comes from.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Map, Value};

/// See the module.
pub(super) struct Editor {
    document: Value,
    operations: Vec<PatchOperation>,
}

/// One step of a path.
#[derive(Clone, Copy)]
pub(super) enum Step<'s> {
    Key(&'s str),
    At(usize),
}

impl<'s> From<&'s str> for Step<'s> {
    fn from(key: &'s str) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step<'_> {
    fn from(index: usize) -> Self {
        Self::At(index)
    }
}

impl Editor {
    pub(super) fn new(document: &Value) -> Self {
        Self { document: document.clone(), operations: Vec::new() }
    }

    /// The document with every change so far.
    pub(super) fn document(&self) -> &Value {
        &self.document
    }

    pub(super) fn finish(self) -> Patch {
        Patch(self.operations)
    }

    /// Sets a member of an object that exists.
    pub(super) fn set(&mut self, path: &[Step<'_>], value: Value) {
        let path = pointer(path);
        match path.resolve(&self.document) {
            Ok(there) if *there == value => {}
            Ok(_) => self.push(PatchOperation::Replace(ReplaceOperation { path, value })),
            Err(_) => self.push(PatchOperation::Add(AddOperation { path, value })),
        }
    }

    /// Removes a member, if it is there.
    pub(super) fn remove(&mut self, path: &[Step<'_>]) {
        let path = pointer(path);
        if path.resolve(&self.document).is_ok() {
            self.push(PatchOperation::Remove(RemoveOperation { path }));
        }
    }

    /// Inserts into a list before `index`, or at its end; makes the list where there is none.
    pub(super) fn insert(&mut self, list: &[Step<'_>], index: Option<usize>, value: Value) {
        let mut path = pointer(list);
        match path.resolve(&self.document).ok().and_then(Value::as_array).map(Vec::len) {
            Some(length) => {
                path.push_back(
                    index.filter(|index| *index < length).map_or_else(|| "-".to_owned(), |index| index.to_string()),
                );
                self.push(PatchOperation::Add(AddOperation { path, value }));
            }
            None => self.push(PatchOperation::Add(AddOperation { path, value: Value::Array(vec![value]) })),
        }
    }

    /// Sets an annotation.
    pub(super) fn annotate(&mut self, key: &str, value: &str) {
        if !self.document.get("metadata").is_some_and(Value::is_object) {
            self.set(&["metadata".into()], Value::Object(Map::new()));
        }
        let annotations = [Step::Key("metadata"), Step::Key("annotations")];
        if !self.document.pointer("/metadata/annotations").is_some_and(Value::is_object) {
            self.set(&annotations, Value::Object(Map::new()));
        }
        self.set(&[annotations[0], annotations[1], key.into()], Value::from(value));
    }

    /// Removes an annotation, if it is there.
    pub(super) fn remove_annotation(&mut self, key: &str) {
        self.remove(&["metadata".into(), "annotations".into(), key.into()]);
    }

    fn push(&mut self, operation: PatchOperation) {
        // A path of ours can fail only in a document that is no pod, and then the API server refuses the patch just the same.
        let _ = json_patch::patch(&mut self.document, std::slice::from_ref(&operation));
        self.operations.push(operation);
    }
}

fn pointer(path: &[Step<'_>]) -> PointerBuf {
    PointerBuf::from_tokens(path.iter().map(|step| match step {
        Step::Key(key) => (*key).to_owned(),
        Step::At(index) => index.to_string(),
    }))
}
