#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <linux/magic.h>

#include "daemon/file_system.h"

static const char *name_of(uint32_t magic)
{
    const struct file_system *found = file_system_doubted(magic);

    return found ? found->name : "";
}

static void what_is_elsewhere_is_doubted(void **state)
{
    (void)state;
    assert_string_equal(name_of(NFS_SUPER_MAGIC), "NFS");
    assert_string_equal(name_of(FUSE_SUPER_MAGIC), "FUSE");
    assert_string_equal(name_of(0x0bd00bd3), "Lustre");
    assert_string_equal(name_of(CIFS_SUPER_MAGIC), "CIFS");
    assert_string_equal(name_of(SMB2_SUPER_MAGIC), "SMB");
    assert_string_equal(name_of(SMB_SUPER_MAGIC), "SMB");
    assert_string_equal(name_of(CEPH_SUPER_MAGIC), "Ceph");
    assert_string_equal(name_of(AFS_SUPER_MAGIC), "AFS");
    assert_string_equal(name_of(AFS_FS_MAGIC), "AFS");
    assert_string_equal(name_of(CODA_SUPER_MAGIC), "Coda");
    assert_string_equal(name_of(V9FS_MAGIC), "9P");
    assert_string_equal(name_of(OCFS2_SUPER_MAGIC), "OCFS2");
    assert_false(file_system_doubted(NFS_SUPER_MAGIC)->in_memory);
}

static void memory_is_no_disk(void **state)
{
    (void)state;
    assert_string_equal(name_of(TMPFS_MAGIC), "tmpfs");
    assert_string_equal(name_of(RAMFS_MAGIC), "ramfs");
    assert_true(file_system_doubted(TMPFS_MAGIC)->in_memory);
    assert_true(file_system_doubted(RAMFS_MAGIC)->in_memory);
}

static void local_ones_are_not(void **state)
{
    static const uint32_t local[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC,
                                     F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, 0x2fc12fc1 /* ZFS */};

    (void)state;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        assert_null(file_system_doubted(local[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_elsewhere_is_doubted),
        cmocka_unit_test(memory_is_no_disk),
        cmocka_unit_test(local_ones_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
