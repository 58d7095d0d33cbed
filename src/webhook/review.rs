//! AdmissionReview v1 (Kubernetes: "Dynamic Admission Control", admission.k8s.io/v1), as far as the webhook needs it.
//!
//! The pod stays the JSON that came in: a typed pod would lose the fields that this build does not know. The patch goes out in
//! base64, which is the documented form, and every answer repeats the uid, without which the API server takes none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// Why a body is no review of a new pod. Holds nothing of the body.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// Nothing was sent.
    #[error("the body is empty")]
    Empty,
    /// Not JSON, or not of the documented form.
    #[error("the body is not an AdmissionReview")]
    Malformed,
    /// Another version or kind.
    #[error("only AdmissionReview of admission.k8s.io/v1 is understood")]
    Version,
    /// Not the creation of a pod.
    #[error("only the creation of pods is reviewed here")]
    NotAPod,
}

/// What is asked.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Repeated in the answer.
    pub uid: String,
    /// Namespace of the request; the pod itself need not name one yet.
    #[serde(default)]
    pub namespace: String,
    /// Nothing will be kept.
    #[serde(default)]
    pub dry_run: bool,
    /// The pod, as it came.
    pub object: Value,
    kind: GroupKind,
    operation: String,
}

#[derive(Clone, PartialEq, Deserialize)]
struct GroupKind {
    #[serde(default)]
    group: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    api_version: String,
    kind: String,
    request: Option<Value>,
}

/// What is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    api_version: &'static str,
    kind: &'static str,
    response: Response,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    uid: String,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Request {
    /// Reads a body.
    pub fn read(body: &[u8]) -> Result<Self, ReviewError> {
        if body.is_empty() {
            return Err(ReviewError::Empty);
        }
        let envelope: Envelope = serde_json::from_slice(body).map_err(|_| ReviewError::Malformed)?;
        if envelope.api_version != API_VERSION || envelope.kind != KIND {
            return Err(ReviewError::Version);
        }
        let request = envelope.request.ok_or(ReviewError::Malformed)?;
        let is_pod = request.pointer("/kind/kind").and_then(Value::as_str) == Some("Pod")
            && request.get("operation").and_then(Value::as_str) == Some("CREATE");
        if !is_pod {
            return Err(ReviewError::NotAPod);
        }
        let request: Self = serde_json::from_value(request).map_err(|_| ReviewError::Malformed)?;
        let new_pod = request.kind.group.is_empty() && request.operation == "CREATE" && request.object.is_object();
        if new_pod { Ok(request) } else { Err(ReviewError::NotAPod) }
    }

    /// Lets the pod pass with these changes and words.
    pub fn allow(&self, patch: &Patch, warnings: Vec<String>) -> Result<Answer, serde_json::Error> {
        let encoded = if patch.is_empty() { None } else { Some(STANDARD.encode(serde_json::to_vec(patch)?)) };
        let response = Response {
            uid: self.uid.clone(),
            allowed: true,
            patch_type: encoded.is_some().then_some("JSONPatch"),
            patch: encoded,
            warnings,
        };
        Ok(Answer { api_version: API_VERSION, kind: KIND, response })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(request: &Value) -> Vec<u8> {
        json!({"apiVersion": API_VERSION, "kind": KIND, "request": request}).to_string().into_bytes()
    }

    fn request() -> Value {
        json!({
            "uid": "5c9a", "namespace": "shop", "operation": "CREATE", "dryRun": true, "userInfo": {},
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "object": {"spec": {"futureField": 12_345_678_901_234_567_890_u64}},
        })
    }

    #[test]
    fn keeps_the_pod_as_it_came() {
        let read = Request::read(&body(&request())).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((read.uid.as_str(), read.namespace.as_str(), read.dry_run), ("5c9a", "shop", true));
        assert_eq!(read.object, request()["object"]);
    }

    #[test]
    fn refuses_what_is_not_a_new_pod() {
        let error = |body: &[u8]| Request::read(body).err();
        assert_eq!(error(b""), Some(ReviewError::Empty));
        for garbage in [&b"garbage"[..], b"{", b"[]", b"null", b"{\"request\": {}}", &[0xff, 0xfe]] {
            assert_eq!(error(garbage), Some(ReviewError::Malformed), "{garbage:?}");
        }
        assert_eq!(
            error(br#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}"#),
            Some(ReviewError::Version)
        );
        assert_eq!(
            error(br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#),
            Some(ReviewError::Malformed)
        );
        for (pointer, value) in [
            ("/operation", json!("UPDATE")),
            ("/kind/kind", json!("Deployment")),
            ("/kind/group", json!("apps")),
            ("/object", json!(null)),
            ("/object", json!([1])),
        ] {
            let mut request = request();
            *request.pointer_mut(pointer).expect("in the fixture") = value;
            assert_eq!(error(&body(&request)), Some(ReviewError::NotAPod), "{pointer}");
        }
        let mut deep = "[".repeat(100_000);
        deep.push_str(&"]".repeat(100_000));
        assert_eq!(error(deep.as_bytes()), Some(ReviewError::Malformed));
    }

    #[test]
    fn answers_in_the_documented_form() {
        let request = Request::read(&body(&request())).unwrap_or_else(|error| panic!("{error}"));
        let patch: Patch =
            serde_json::from_value(json!([{"op": "add", "path": "/metadata/labels", "value": {}}])).expect("a patch");
        let answer = request.allow(&patch, vec!["careful".to_owned()]).expect("serialisable");
        assert_eq!(
            serde_json::to_value(answer).expect("serialisable"),
            json!({"apiVersion": API_VERSION, "kind": KIND, "response": {
                "uid": "5c9a", "allowed": true, "patchType": "JSONPatch", "warnings": ["careful"],
                "patch": "W3sib3AiOiJhZGQiLCJwYXRoIjoiL21ldGFkYXRhL2xhYmVscyIsInZhbHVlIjp7fX1d",
            }})
        );
        let untouched = request.allow(&Patch::default(), Vec::new()).expect("serialisable");
        assert_eq!(
            serde_json::to_value(untouched).expect("serialisable"),
            json!({"apiVersion": API_VERSION, "kind": KIND, "response": {"uid": "5c9a", "allowed": true}})
        );
    }
}
