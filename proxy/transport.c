#include "proxy/transport.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t transport_errno(int want)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        return want;
    }
    return TRANSPORT_LOST;
}

static ssize_t transport_plain_read(struct transport *transport, void *data, size_t len)
{
    ssize_t got = recv(transport->fd, data, len, 0);

    return got >= 0 ? got : transport_errno(TRANSPORT_WANT_READ);
}

static ssize_t transport_plain_writev(struct transport *transport, const struct iovec *iov,
                                      int count, bool more)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = (size_t)count};
    ssize_t sent = sendmsg(transport->fd, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0));

    return sent >= 0 ? sent : transport_errno(TRANSPORT_WANT_WRITE);
}

static ssize_t transport_plain_sendfile(struct transport *transport, int fd, uint64_t offset,
                                        size_t len, bool more)
{
    off_t at = (off_t)offset;
    ssize_t sent = sendfile(transport->fd, fd, &at, GH_MIN(len, (size_t)TRANSPORT_SENDFILE_BYTES));

    if (sent >= 0) {
        return sent; /* 0: the file is shorter than was promised */
    }
    if (errno == EIO || errno == EINVAL || errno == EBADF || errno == EOVERFLOW) {
        return TRANSPORT_FILE_LOST;
    }
    return transport_errno(TRANSPORT_WANT_WRITE);
}

static ssize_t transport_plain_handshake(struct transport *transport)
{
    return 1;
}

static void transport_plain_shutdown(struct transport *transport)
{
    (void)shutdown(transport->fd, SHUT_WR);
}

static void transport_plain_close(struct transport *transport)
{
    if (transport->fd >= 0) {
        (void)close(transport->fd);
        transport->fd = -1;
    }
}

static bool transport_plain_has_pending(const struct transport *transport)
{
    return false;
}

void transport_init_plain(struct transport *transport, int fd)
{
    static const struct transport_ops plain = {
        .read = transport_plain_read,
        .writev = transport_plain_writev,
        .sendfile = transport_plain_sendfile,
        .handshake = transport_plain_handshake,
        .shutdown = transport_plain_shutdown,
        .close = transport_plain_close,
        .has_pending = transport_plain_has_pending,
    };

    *transport = (struct transport){.ops = &plain, .fd = fd};
}
