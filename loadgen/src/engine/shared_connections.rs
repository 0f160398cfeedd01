//! A load thread's connections of HTTP/2, each shared by many requests.
//!
//! Connections are filled in the order in which they were opened, and one is opened when the others
//! have no room. Requests that come while it is being opened wait for it, as many as it may take.
//! The one that began it has opened it, and its time is that one's; the others found it there.

use std::{cell::RefCell, io, rc::Rc, sync::Arc};

use target::client::{Client, Clock, ConnectFailure, Connection, MOST_STREAMS, Multiplexed};
use tokio::{
    sync::{oneshot, watch},
    task::spawn_local,
};

/// Connections of a load thread, by the server that they lead to.
pub(crate) struct SharedConnections {
    each: Rc<RefCell<Vec<Pool>>>,
    /// Most of them: what this thread has of the open files.
    most: usize,
}

/// Those to one server.
struct Pool {
    /// In the order in which they were opened.
    standing: Vec<Multiplexed>,
    opening: Vec<Opening>,
    /// What the last one that was opened may carry.
    streams_each: usize,
}

/// One that is being opened.
struct Opening {
    /// Requests that will want a place on it.
    awaited_by: usize,
    outcome: Outcome,
}

/// Whether it stands, once that is known.
type Outcome = watch::Receiver<Option<Result<(), Arc<ConnectFailure>>>>;

/// What a request for a place is to do.
enum Next {
    Go(Connection),
    Wait(Outcome),
    Open(watch::Sender<Option<Result<(), Arc<ConnectFailure>>>>),
}

impl Default for Pool {
    fn default() -> Self {
        Self { standing: Vec::new(), opening: Vec::new(), streams_each: MOST_STREAMS }
    }
}

impl Pool {
    fn next(&mut self) -> Next {
        self.standing.retain(|connection| !connection.is_over());
        if let Some(free) = self.standing.iter().find(|connection| connection.has_room()) {
            return Next::Go(free.place());
        }
        let most = self.streams_each;
        if let Some(opening) = self.opening.iter_mut().find(|it| it.awaited_by < most) {
            opening.awaited_by += 1;
            return Next::Wait(opening.outcome.clone());
        }
        let (tell, outcome) = watch::channel(None);
        self.opening.push(Opening { awaited_by: 1, outcome });
        Next::Open(tell)
    }

    fn connections(&self) -> usize {
        self.standing.len() + self.opening.len()
    }
}

impl SharedConnections {
    /// None yet to any of `targets` servers, and never more than `most` beside those in use.
    pub(crate) fn to(targets: usize, most: usize) -> Self {
        let each = (0..targets).map(|_| Pool::default()).collect();
        Self { each: Rc::new(RefCell::new(each)), most }
    }

    /// A place for a request to `target`, and whether its connection was opened for it.
    pub(crate) async fn place(
        &self,
        target: u32,
        client: &Arc<Client>,
        clock: &Arc<Clock>,
    ) -> Result<(Connection, bool), ConnectFailure> {
        if !client.keeps_connections() {
            let (connection, driver) = client.open(clock).await?;
            let place = connection.place();
            spawn_local(driver);
            return Ok((place, true));
        }
        loop {
            let next = self.each.borrow_mut()[target as usize].next();
            match next {
                Next::Go(place) => return Ok((place, false)),
                Next::Wait(mut outcome) => {
                    let told = outcome.wait_for(Option::is_some).await;
                    if let Ok(told) = told
                        && let Some(Err(failure)) = &*told
                    {
                        return Err(failure.again());
                    }
                }
                Next::Open(tell) => {
                    self.make_room();
                    // A task of its own: those who wait for it need it even if this request goes.
                    let (give, place) = oneshot::channel();
                    let each = Rc::clone(&self.each);
                    spawn_local(open(
                        each,
                        target,
                        Arc::clone(client),
                        Arc::clone(clock),
                        tell,
                        give,
                    ));
                    let lost = || ConnectFailure::Tcp(io::ErrorKind::ConnectionAborted.into());
                    return place.await.map_err(|_| lost())?.map(|place| (place, true));
                }
            }
        }
    }

    /// Closes a connection that nobody uses, where there would be too many with one more.
    fn make_room(&self) {
        let mut each = self.each.borrow_mut();
        if each.iter().map(Pool::connections).sum::<usize>() <= self.most {
            return;
        }
        for pool in each.iter_mut() {
            if let Some(idle) = pool.standing.iter().position(|it| it.open() == 0) {
                pool.standing.remove(idle);
                return;
            }
        }
    }
}

/// Opens a connection, gives its first place to who asked for it, tells the others, and drives it
/// to its end.
async fn open(
    each: Rc<RefCell<Vec<Pool>>>,
    target: u32,
    client: Arc<Client>,
    clock: Arc<Clock>,
    tell: watch::Sender<Option<Result<(), Arc<ConnectFailure>>>>,
    give: oneshot::Sender<Result<Connection, ConnectFailure>>,
) {
    let opened = client.open(&clock).await;
    let driver = {
        let mut each = each.borrow_mut();
        let pool = &mut each[target as usize];
        pool.opening.retain(|opening| !opening.outcome.same_channel(&tell.subscribe()));
        match opened {
            Ok((connection, driver)) => {
                let _ = give.send(Ok(connection.place()));
                pool.streams_each = connection.most();
                pool.standing.push(connection);
                let _ = tell.send(Some(Ok(())));
                Some(driver)
            }
            Err(failure) => {
                let _ = tell.send(Some(Err(Arc::new(failure.again()))));
                let _ = give.send(Err(failure));
                None
            }
        }
    };
    drop(each);
    if let Some(driver) = driver {
        driver.await;
    }
}
