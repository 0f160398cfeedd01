//! JSON answers written by serde at once, without poem-openapi's tree of values in between.

use std::marker::PhantomData;

use bytes::Bytes;
use poem::{IntoResponse, Response};
use poem_openapi::{
    ApiResponse,
    payload::{Json, Payload},
    registry::{MetaResponses, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use serde::Serialize;

/// A `T` as JSON.
pub(crate) struct Written<T> {
    json: Bytes,
    what: PhantomData<fn() -> T>,
}

impl<T: Serialize> Written<T> {
    pub(crate) fn new(value: &T) -> Self {
        Self::from(json(value))
    }
}

impl<T> From<Bytes> for Written<T> {
    /// What [`json`] has written before.
    fn from(json: Bytes) -> Self {
        Self { json, what: PhantomData }
    }
}

/// `value` as it goes over the wire.
pub(crate) fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("the contract's types are plain JSON").into()
}

impl<T: Type> Payload for Written<T> {
    const CONTENT_TYPE: &'static str = Json::<T>::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        Json::<T>::schema_ref()
    }

    fn register(registry: &mut Registry) {
        Json::<T>::register(registry);
    }
}

impl<T: Type> IntoResponse for Written<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.json)
    }
}

impl<T: ToJSON> ApiResponse for Written<T> {
    fn meta() -> MetaResponses {
        Json::<T>::meta()
    }

    fn register(registry: &mut Registry) {
        <Json<T> as ApiResponse>::register(registry);
    }
}
