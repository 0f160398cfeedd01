use std::time::Duration;

use records::{About, Record, Writer};
use serde_json::json;
use shared::{
    BenchmarkId, RunnerId, Seed, State,
    request::{Defaults, Fields, NewBenchmark},
};
use store::{Artifacts, Held, Lease, Vault, requests_of};
use tempfile::TempDir;
use testkit::TestDatabase;

use super::*;

/// A database, and the folder that a runner on it left.
struct Scene {
    store: Store,
    folder: TempDir,
    artifacts: TempDir,
    _database: TestDatabase,
}

impl Scene {
    async fn each() -> Vec<Self> {
        let mut scenes = Vec::new();
        for database in TestDatabase::each().await {
            let lease = Lease { ttl: Duration::from_secs(1), grace: Duration::ZERO };
            let store = Store::open(database.url(), Vault::none(), lease).await.unwrap();
            store.migrate().await.unwrap();
            let (folder, artifacts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let store = store.with_artifacts(Artifacts::in_folder(artifacts.path()).unwrap());
            scenes.push(Self { store, folder, artifacts, _database: database });
        }
        scenes
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A run whose runner has begun its load and says nothing more.
    async fn silent(&self, on_lost: &str) -> Owner {
        let url = "http://llm.example:8000";
        let asked = json!({"url": url, "on_lost": on_lost});
        let asked: Fields = serde_json::from_value(asked).unwrap();
        let seed = Seed::try_from(1).unwrap();
        let new = NewBenchmark::parse(&asked, &Defaults::default(), seed).unwrap();
        self.store.create(new).await.unwrap();
        let runner = RunnerId("01JDKILLED".to_owned());
        let held = self.store.claim(&runner, 10_000).await.unwrap().unwrap().held;
        self.store.load_starts(&held, "tiny").await.unwrap();
        Owner { held, shard: 0, runner }
    }

    /// Has the runs of silent runners taken from them.
    async fn time_passes(&self) {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        self.store.sweep().await.unwrap();
    }

    async fn recover(&self) -> bool {
        recover(&self.store, self.folder(), &CancellationToken::new()).await
    }

    /// The only file of requests that `id` has.
    async fn only_file(&self, id: BenchmarkId) -> StoredRequests {
        let [file] = <[_; 1]>::try_from(self.store.requests(id).await.unwrap()).unwrap();
        file
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap().map(Result::unwrap);
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Leaves rows of `owner`: 5 of which a checkpoint knows, and 20,000 of which none does.
fn leave(owner: &Owner, folder: &Path) {
    let rows = File::create(owner.rows(folder)).unwrap();
    let mut writer = Writer::new(rows, &About::default(), false).unwrap();
    for index in 0..20_005 {
        if index == 5 {
            fs::write(owner.tail(folder), writer.checkpoint().unwrap().to_bytes()).unwrap();
        }
        writer.push(Record { index, token_source: "usage", ..Record::default() }).unwrap();
    }
    // It never comes to the end.
    std::mem::forget(writer);
}

fn grow_old(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let long_ago = SystemTime::now() - MOST_WAITING - Duration::from_mins(1);
    file.set_modified(long_ago).unwrap();
}

#[tokio::test]
async fn rows_wait_until_their_run_is_lost_and_are_gone_when_it_has_them() {
    for scene in Scene::each().await {
        let owner = scene.silent("fail").await;
        leave(&owner, scene.folder());
        assert!(scene.recover().await);
        assert_eq!(scene.files().len(), 2, "the run goes on");

        scene.time_passes().await;
        let id = owner.held.id;
        assert_eq!(scene.store.get(id).await.unwrap().status, State::Lost);
        assert!(scene.recover().await);
        assert_eq!(scene.files(), [""; 0]);
        let kept = scene.only_file(id).await;
        assert_eq!(kept.rows, 5);
        let bytes = scene.store.artifacts().unwrap().read(&kept.key, 0..kept.bytes).await.unwrap();
        let records::Tail::Whole(layout) = records::Layout::read(&bytes, kept.bytes).unwrap()
        else {
            panic!("it is the whole file");
        };
        assert_eq!(layout.rows(), 5);
    }
}

#[tokio::test]
async fn rows_that_cannot_be_stored_yet_wait_for_better_times() {
    for scene in Scene::each().await {
        let owner = scene.silent("fail").await;
        leave(&owner, scene.folder());
        scene.time_passes().await;
        // where the store wants a folder there is a file
        let in_the_way = scene.artifacts.path().join("benchmarks");
        fs::write(&in_the_way, "").unwrap();
        assert!(!scene.recover().await);
        assert_eq!(scene.files().len(), 2);
        fs::remove_file(in_the_way).unwrap();
        assert!(scene.recover().await, "what was begun is begun anew");
        assert_eq!(scene.only_file(owner.held.id).await.rows, 5);

        // Nor is anything lost where the database cannot be asked.
        let owner = scene.silent("fail").await;
        leave(&owner, scene.folder());
        let elsewhere = format!("sqlite:{}", scene.folder().join("x.db").display());
        let none = Store::open(&elsewhere, Vault::none(), Lease::default()).await.unwrap();
        assert!(!recover(&none, scene.folder(), &CancellationToken::new()).await);
        assert!(owner.rows(scene.folder()).exists() && owner.tail(scene.folder()).exists());
    }
}

#[tokio::test]
async fn rows_of_a_run_that_is_sent_again_are_deleted() {
    for scene in Scene::each().await {
        let owner = scene.silent("rerun").await;
        leave(&owner, scene.folder());
        let artifacts = scene.store.artifacts().unwrap();
        let file = File::open(owner.rows(scene.folder())).unwrap();
        let key = artifacts.put_rows(&owner.held, &requests_of(0), file, 4).await.unwrap();
        scene.time_passes().await;
        assert_eq!(scene.store.get(owner.held.id).await.unwrap().status, State::Queued);
        assert!(scene.recover().await);
        assert_eq!(scene.files(), [""; 0]);
        assert!(artifacts.read(&key, 0..1).await.is_err(), "nor are they in the artifact store");
    }
}

#[tokio::test]
async fn what_somebody_has_or_nobody_knows_is_left_alone_until_it_is_old() {
    for scene in Scene::each().await {
        let lost = scene.silent("fail").await;
        leave(&lost, scene.folder());
        let living = File::open(lost.rows(scene.folder())).unwrap();
        living.lock().unwrap();
        scene.time_passes().await;
        let stranger = Owner { runner: RunnerId("01JDELSEWHERE".to_owned()), ..lost.clone() };
        leave(&stranger, scene.folder());
        let unborn = Owner { held: Held { id: BenchmarkId(999), fence: 1 }, ..lost.clone() };
        fs::write(unborn.unfinished(scene.folder()), "").unwrap();
        fs::write(scene.folder().join("notes.txt"), "somebody's").unwrap();
        let before = scene.files();
        assert!(scene.recover().await);
        assert_eq!(scene.files(), before);

        for name in &before {
            grow_old(&scene.folder().join(name));
        }
        assert!(scene.recover().await);
        let rows = lost.rows(scene.folder());
        let locked = rows.file_name().unwrap().to_str().unwrap();
        assert_eq!(scene.files(), [locked], "its runner lives");
        assert_eq!(scene.store.requests(lost.held.id).await.unwrap(), []);
    }
}

#[tokio::test]
async fn rows_of_a_benchmark_that_was_deleted_are_deleted_by_the_runner_that_wrote_them() {
    for scene in Scene::each().await {
        let owner = scene.silent("fail").await;
        scene.time_passes().await;
        scene.store.delete(owner.held.id, false).await.unwrap();
        leave(&owner, scene.folder());
        assert!(scene.recover().await);
        assert_eq!(scene.files().len(), 2, "others cannot know that they are not another one's");

        let artifacts = scene.store.artifacts().unwrap();
        let file = File::open(owner.rows(scene.folder())).unwrap();
        let key = artifacts.put_rows(&owner.held, &requests_of(0), file, 4).await.unwrap();
        let file = lock(&owner.rows(scene.folder())).unwrap();
        let folder = scene.folder().to_owned();
        let left = Left { owner, folder, file, is_own: true };
        assert!(left.settle(&scene.store, &CancellationToken::new()).await);
        assert_eq!(scene.files(), [""; 0]);
        assert!(artifacts.read(&key, 0..1).await.is_err());
    }
}

#[tokio::test]
async fn damaged_rows_are_deleted_and_harm_nobody() {
    for scene in Scene::each().await {
        let owner = scene.silent("fail").await;
        scene.time_passes().await;
        let (rows, tail) = (owner.rows(scene.folder()), owner.tail(scene.folder()));
        for damage in [
            &(|| fs::remove_file(&tail).unwrap()) as &dyn Fn(),
            &|| fs::write(&tail, "").unwrap(),
            &|| fs::write(&tail, vec![7; 5_000]).unwrap(),
            &|| {
                let half = fs::metadata(&tail).unwrap().len() / 2;
                File::options().write(true).open(&tail).unwrap().set_len(half).unwrap();
            },
            &|| File::create(&rows).map(drop).unwrap(),
        ] {
            leave(&owner, scene.folder());
            damage();
            assert!(scene.recover().await);
            assert_eq!(scene.files(), [""; 0]);
            assert_eq!(scene.store.requests(owner.held.id).await.unwrap(), []);
        }
    }
}
