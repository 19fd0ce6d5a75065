# Strings, hashes, arrays and objects that live for a while and are dropped.
#
# Usage: ruby work.rb ROUNDS
#
# Prints one line a round that depends on every result. All random numbers come
# from one fixed seed.

Record = Struct.new(:id, :name, :tags, :parent)

def make_records(numbers, count)
  records = []
  count.times do |i|
    name = "name-#{numbers.rand(100_000)}-" + "x" * numbers.rand(60)
    tags = Array.new(numbers.rand(6)) { "tag#{numbers.rand(500)}" }
    records << Record.new(i, name, tags, records[numbers.rand(i + 1)])
  end
  records
end

def hashes(records)
  by_tag = Hash.new { |hash, key| hash[key] = [] }
  records.each { |record| record.tags.each { |tag| by_tag[tag] << record.name } }
  by_tag.transform_values! { |names| names.uniq.sort }
  by_tag.sort.sum { |tag, names| tag.size * names.size + names.first.size }
end

def strings(records)
  text = records.map { |record| record.name.tr("x", "y").capitalize }.join("\n")
  long = text.lines.select { |line| line.size > 40 }.map(&:chomp)
  parts = long.flat_map { |line| line.split("-") }
  text.gsub(/y{5,}/, "<\\0>").size + parts.size + long.sort.last.size
end

def ancestors(records)
  records.sum do |record|
    chain = []
    while record
      chain << record.id
      record = record.parent == record ? nil : record.parent
    end
    chain.map(&:to_s).join("/").size
  end
end

def symbols_and_numbers(numbers)
  words = Array.new(60_000) { numbers.rand(1 << 80).to_s(36) }
  words.group_by(&:size).map { |size, group| size * group.min.size }.sum +
    words.each_slice(7).map { |slice| slice.join.size }.sum
end

numbers = Random.new(20_210)
ARGV[0].to_i.times do |round|
  records = make_records(numbers, 60_000)
  puts [round, hashes(records), strings(records), ancestors(records),
        symbols_and_numbers(numbers)].join(" ")
end
