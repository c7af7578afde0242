/*
 * The bytes of a connection: plain sockets and TLS behind one small table, both non-blocking.
 *
 * The process must ignore SIGPIPE: sendfile() and OpenSSL's writes raise it where the peer is gone.
 *
 * Threads: the worker the connection lives on
 */
#ifndef PROXY_TRANSPORT_H
#define PROXY_TRANSPORT_H

#include <sys/types.h>
#include <sys/uio.h>

#include "gatehouse.h"

struct transport;
struct ssl_st;
struct x509_st;

#define TRANSPORT_SENDFILE_BYTES (256u * 1024) /* an unbounded call would hold the loop */

/* What read, writev, sendfile and handshake answer besides a count of bytes above zero. */
enum {
    TRANSPORT_END = 0,         /* read: the peer has sent everything; sendfile: the file ends */
    TRANSPORT_WANT_READ = -1,  /* try again when the socket is readable */
    TRANSPORT_WANT_WRITE = -2, /* try again when the socket is writable */
    TRANSPORT_LOST = -3,       /* reset, TLS failure */
    TRANSPORT_FILE_LOST = -4,  /* sendfile: the file cannot be read */
};

struct transport_ops {
    ssize_t (*read)(struct transport *transport, void *data, size_t len);
    /* MORE: further bytes follow at once, so a small segment may wait for them. */
    ssize_t (*writev)(struct transport *transport, const struct iovec *iov, int count, bool more);
    ssize_t (*sendfile)(struct transport *transport, int fd, uint64_t offset, size_t len,
                        bool more);
    /* Anything above zero: done. Plain sockets are done at once. */
    ssize_t (*handshake)(struct transport *transport);
    /* Say that no more bytes follow (TLS close_notify, then FIN). Best effort. */
    void (*shutdown)(struct transport *transport);
    void (*close)(struct transport *transport);
    /* Bytes are readable although the socket may not say so. */
    bool (*has_pending)(const struct transport *transport);
};

struct transport {
    const struct transport_ops *ops;
    struct ssl_st *ssl; /* TLS only, owned */
    int fd;             /* owned */
    uint32_t retry_len; /* TLS only: bytes of a record OpenSSL wants to be offered again */
};

/* Takes: fd: taken, non-blocking. */
void transport_init_plain(struct transport *transport, int fd);

#endif
