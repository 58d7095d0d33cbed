module weir.dev/tests/cluster/program

go 1.26
