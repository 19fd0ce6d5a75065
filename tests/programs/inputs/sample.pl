# Hashes, strings, regular expressions, sorting, and children by fork.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);

sub work {
    my ($seed) = @_;
    my (%table, $state);
    $state = $seed;
    for my $number (1 .. 60000) {
        $state = ($state * 1103515245 + 12345) % 2147483648;
        push @{ $table{ $state % 5003 } }, 'x' x ($state % 40);
        delete $table{ $state % 4999 } if $number % 3 == 0;
    }
    my $text = join ',', map { "$_:" . join('|', @{ $table{$_} }) } sort { $a <=> $b } keys %table;
    my $count = () = $text =~ /x{5,9}\|/g;
    $text =~ s/x{10}/y/g;
    return sha256_hex($text) . " $count";
}

my @children;
for my $seed (1 .. 3) {
    my $pid = open(my $pipe, '-|') // die;
    if ($pid == 0) {
        print work($seed);
        exit 0;
    }
    push @children, $pipe;
}
my @lines = map { my $pipe = $_; local $/; my $line = <$pipe>; close $pipe or die; $line } @children;
die 'child differs' if $lines[0] ne work(1);
print "$_\n" for @lines, work(4);
