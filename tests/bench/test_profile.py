"""Proves that what perf and py-spy print is read as it is meant."""

from bench.kernel_time import ENTRY, USER, by_system_call, plain_name
from bench.profile import own_times, shares_of
from bench.syscalls import ALL, parsed

SAMPLES = """\
 4711
\tffffffff81409e44 __rcu_read_unlock
\tffffffff815b880c shmem_file_read_iter
\tffffffff816b9849 do_preadv
\tffffffff821ef691 do_syscall_64
\tffffffff81000130 entry_SYSCALL_64_after_hwframe
\t          fe086 preadv64v2

 4711
\t          1af857 _PyObject_Malloc

 4711
\tffffffff81000130 entry_SYSCALL_64_after_hwframe
\t          10a929 __libc_recv

 9999
\t          1af857 not_asked_for

"""


def test_a_sample_belongs_to_the_system_call_it_is_in() -> None:
    assert by_system_call(SAMPLES, [4711, 4712]) == {4711: {"preadv": 1, USER: 1, ENTRY: 1}, 4712: {}}


def test_names_of_system_calls_lose_what_kernels_put_around_them() -> None:
    names = ("__x64_sys_recvfrom", "__sys_sendmsg", "ksys_read", "do_epoll_wait", "preadv2", "pread64", "do_writev")
    assert [plain_name(name) for name in names] == [
        "recvfrom", "sendmsg", "read", "epoll_wait", "preadv", "pread", "writev",
    ]  # fmt: skip


def test_counts_are_read_by_thread_and_name() -> None:
    told = "# started\n\nnsu: agent A:1 #-0-815;42;;syscalls:sys_enter_preadv2;1;100.00;;\n"
    told += f"python-815;50;;{ALL};1;100.00;;\nx-815;<not counted>;;syscalls:sys_enter_read;0;0.00;;\n"
    assert list(parsed(told)) == [(815, "preadv", 42), (815, ALL, 50)]


def test_own_time_is_that_of_the_innermost_function_whatever_its_line() -> None:
    raw = "run (a.py:1);send (b.py:20) 3\nrun (a.py:1);send (b.py:22) 1\nrun (a.py:9) 4\n"
    assert own_times(raw) == {"send (b.py)": 4, "run (a.py)": 4}
    assert shares_of(own_times(raw))["run (a.py)"] == 0.5
