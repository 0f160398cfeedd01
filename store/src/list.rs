//! Pages of benchmarks: filters, order, total.

use std::str::FromStr;

use entity::benchmark;
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{
    ColumnTrait, EntityTrait, Order, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use shared::{Benchmark, State};

use crate::{Store, StoreError, clock, rows};

/// Which benchmarks, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// From 1 up.
    pub page: u64,
    /// Most benchmarks of a page.
    pub limit: u64,
    /// In one of these states; none named: in any.
    pub states: Vec<State>,
    /// Of exactly this model.
    pub model: Option<String>,
    /// Marked, or not.
    pub favorite: Option<bool>,
    /// By what.
    pub sort: Sort,
    /// Greatest first.
    pub descending: bool,
}

impl Default for Wanted {
    /// The ten newest, whatever their state.
    fn default() -> Self {
        Self {
            page: 1,
            limit: 10,
            states: Vec::new(),
            model: None,
            favorite: None,
            sort: Sort::CreatedAt,
            descending: true,
        }
    }
}

/// What benchmarks are ordered by. Those that are equal in it are ordered by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// When it was accepted.
    #[default]
    CreatedAt,
    /// Its number.
    Id,
    /// The model's name, by code points.
    Model,
    /// The state's place in a benchmark's life.
    Status,
    /// Virtual users.
    User,
    /// Seconds in which requests are sent.
    Duration,
}

impl Sort {
    /// All, in the order they are told in.
    pub const ALL: [Self; 6] =
        [Self::CreatedAt, Self::Id, Self::Model, Self::Status, Self::User, Self::Duration];

    /// The word a client asks with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreatedAt => "createdAt",
            Self::Id => "id",
            Self::Model => "model",
            Self::Status => "status",
            Self::User => "user",
            Self::Duration => "duration",
        }
    }
}

/// A word that benchmarks cannot be ordered by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sort must be one of createdAt, id, model, status, user, duration, not `{0}`")]
pub struct UnknownSort(pub String);

impl FromStr for Sort {
    type Err = UnknownSort;

    fn from_str(word: &str) -> Result<Self, UnknownSort> {
        Self::ALL
            .into_iter()
            .find(|sort| sort.as_str() == word)
            .ok_or_else(|| UnknownSort(word.chars().take(64).collect()))
    }
}

/// A page, and how many there are on all pages.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Those of this page.
    pub benchmarks: Vec<Benchmark>,
    /// Those of all pages.
    pub total: u64,
}

impl Store {
    /// A page of benchmarks.
    pub async fn list(&self, wanted: &Wanted) -> Result<Page, StoreError> {
        let c = &self.inner.database.main;
        let total = filtered(benchmark::Entity::find(), wanted).count(c).await?;
        let direction = if wanted.descending { Order::Desc } else { Order::Asc };
        let found = filtered(rows::find(), wanted)
            .order_by(by(wanted.sort, clock::is_postgres(c)), direction.clone())
            .order_by(benchmark::Column::Id, direction)
            .limit(wanted.limit)
            .offset(wanted.page.saturating_sub(1).saturating_mul(wanted.limit).min(i64::MAX as u64))
            .into_model::<rows::Found>()
            .all(c)
            .await?;
        let benchmarks = found.into_iter().map(rows::benchmark).collect::<Result<_, _>>()?;
        Ok(Page { benchmarks, total })
    }
}

fn filtered(mut found: Select<benchmark::Entity>, wanted: &Wanted) -> Select<benchmark::Entity> {
    if !wanted.states.is_empty() {
        let words = wanted.states.iter().map(|state| state.as_str());
        found = found.filter(benchmark::Column::Status.is_in(words));
    }
    if let Some(model) = &wanted.model {
        found = found.filter(benchmark::Column::Model.eq(rows::storable(model)));
    }
    if let Some(favorite) = wanted.favorite {
        found = found.filter(benchmark::Column::Favorite.eq(favorite));
    }
    found
}

fn by(sort: Sort, postgres: bool) -> SimpleExpr {
    let column = match sort {
        Sort::CreatedAt => benchmark::Column::CreatedAtMs,
        Sort::Id => benchmark::Column::Id,
        // The server's language must not decide the order.
        Sort::Model if postgres => return Expr::cust("model COLLATE \"C\""),
        Sort::Model => benchmark::Column::Model,
        Sort::Status => {
            let places = State::ALL.iter().enumerate();
            let place = places.map(|(place, state)| format!("WHEN '{state}' THEN {place}"));
            return Expr::cust(format!("CASE status {} END", place.collect::<Vec<_>>().join(" ")));
        }
        Sort::User => benchmark::Column::Users,
        Sort::Duration => benchmark::Column::DurationS,
    };
    Expr::col((benchmark::Entity, column))
}
