#include "proxy/tuf_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_TEMPORARY_PREFIX ".tmp."
#define STATE_READ_BYTES 65536

struct tuf_state {
    char *folder; /* for messages */
    int fd;       /* of the folder; carries the lock */
};

static void state_fd_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

static bool state_fail(const struct tuf_state *state, const char *what, const char *name,
                       struct gh_error *err)
{
    return gh_fail(err, GH_INTERNAL_ERROR, "cannot %s %.120s in %.120s: %s", what, name,
                   state->folder, strerror(errno));
}

static bool state_check_name(const struct tuf_state *state, const char *name, struct gh_error *err)
{
    if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0) {
        errno = EINVAL;
        return state_fail(state, "use the name", name, err);
    }
    return true;
}

bool tuf_state_open(const char *folder, bool is_locked, struct tuf_state **out,
                    struct gh_error *err)
{
    GH_OWN(tuf_state_closep) struct tuf_state *state = calloc(1, sizeof(*state));

    if (state == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    state->fd = -1;
    state->folder = strdup(folder);
    if (state->folder == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if (mkdir(folder, 0755) != 0 && errno != EEXIST) {
        return state_fail(state, "make", "the folder", err);
    }
    state->fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state->fd < 0) {
        return state_fail(state, "open", "the folder", err);
    }
    if (is_locked && flock(state->fd, LOCK_EX) != 0) {
        return state_fail(state, "lock", "the folder", err);
    }
    *out = GH_TAKE(state);
    return true;
}

void tuf_state_close(struct tuf_state *state)
{
    if (state == NULL) {
        return;
    }
    state_fd_close(&state->fd);
    free(state->folder);
    free(state);
}

/* Read up to LIMIT bytes. False with errno set where reading fails. */
static bool state_read_all(int fd, size_t limit, struct bytes_buf *out)
{
    struct bytes_buf content = {0};
    size_t capacity = 0;

    while (content.len < limit) {
        ssize_t got;

        if (content.len == capacity) {
            size_t wanted = GH_MIN(limit, capacity == 0 ? STATE_READ_BYTES : capacity * 2);
            uint8_t *grown = realloc(content.data, wanted);

            if (grown == NULL) {
                bytes_buf_done(&content);
                return false;
            }
            content.data = grown;
            capacity = wanted;
        }
        got = read(fd, content.data + content.len, capacity - content.len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            bytes_buf_done(&content);
            return false;
        }
        if (got == 0) {
            break;
        }
        content.len += (size_t)got;
    }
    *out = content;
    return true;
}

bool tuf_state_read(struct tuf_state *state, const char *name, size_t limit, struct bytes_buf *out,
                    bool *found, struct gh_error *err)
{
    GH_OWN(state_fd_close) int fd = -1;

    GH_TRY(state_check_name(state, name, err));
    fd = openat(state->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *found = false;
        return true;
    }
    if (fd < 0 || !state_read_all(fd, limit + 1, out)) {
        return state_fail(state, "read", name, err);
    }
    *found = true;
    return true;
}

static bool state_write_all(int fd, struct bytes content)
{
    while (content.len > 0) {
        ssize_t done = write(fd, content.data, content.len);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return false;
        }
        content = bytes_slice(content, (size_t)done, SIZE_MAX);
    }
    return true;
}

bool tuf_state_store(struct tuf_state *state, const char *name, struct bytes content,
                     struct gh_error *err)
{
    GH_OWN(state_fd_close) int fd = -1;
    char temporary[sizeof(STATE_TEMPORARY_PREFIX) + 24];

    GH_TRY(state_check_name(state, name, err));
    /* the lock makes this process the only writer: a name of its own is enough */
    (void)snprintf(temporary, sizeof(temporary), STATE_TEMPORARY_PREFIX "%ld", (long)getpid());
    fd = openat(state->fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        return state_fail(state, "make a file for", name, err);
    }
    if (!state_write_all(fd, content) || fsync(fd) != 0 ||
        renameat(state->fd, temporary, state->fd, name) != 0 || fsync(state->fd) != 0) {
        int saved = errno;

        (void)unlinkat(state->fd, temporary, 0);
        errno = saved;
        return state_fail(state, "write", name, err);
    }
    return true;
}

bool tuf_state_forget(struct tuf_state *state, const char *name, struct gh_error *err)
{
    GH_TRY(state_check_name(state, name, err));
    if (unlinkat(state->fd, name, 0) != 0 && errno != ENOENT) {
        return state_fail(state, "remove", name, err);
    }
    if (fsync(state->fd) != 0) {
        return state_fail(state, "remove", name, err);
    }
    return true;
}
