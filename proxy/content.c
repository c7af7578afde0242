#include "proxy/content.h"

#include <stdlib.h>
#include <string.h>

struct content *content_new(const struct digest *digest, const char *media_type, struct bytes bytes)
{
    size_t type_len = strlen(media_type);
    struct content *content = malloc(sizeof(*content) + bytes.len + type_len + 1);

    if (content == NULL) {
        return NULL;
    }
    content->references = 1;
    content->digest = *digest;
    digest_format(digest, content->digest_text);
    if (bytes.len > 0) {
        memcpy(content->data, bytes.data, bytes.len);
    }
    memcpy(content->data + bytes.len, media_type, type_len + 1);
    content->bytes = bytes_make(content->data, bytes.len);
    content->media_type = (char *)content->data + bytes.len;
    return content;
}

struct content *content_ref(struct content *content)
{
    (void)__atomic_add_fetch(&content->references, 1, __ATOMIC_RELAXED);
    return content;
}

void content_unref(struct content *content)
{
    if (content != NULL && __atomic_sub_fetch(&content->references, 1, __ATOMIC_ACQ_REL) == 0) {
        free(content);
    }
}
