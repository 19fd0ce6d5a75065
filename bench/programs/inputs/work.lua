-- Strings that are built, cut and joined; tables that grow and die; closures.
--
-- Usage: lua work.lua ROUNDS
--
-- Prints one line a round that depends on every result. The numbers come from a
-- generator of our own, so that every version of Lua sees the same ones, and no
-- result depends on the order of a table's keys.

local state = 12345

local function number(limit) -- in 0 .. limit - 1
  state = (state * 1103515245 + 12345) % 2147483648
  return (state >> 8) % limit
end

local function words(count)
  local list = {}
  for i = 1, count do
    list[i] = string.format("%s%d", string.rep("ab", number(12)), number(100000))
  end
  return list
end

local function strings(list)
  local text = table.concat(list, " ")
  local length = 0
  for word in text:gmatch("%S+") do
    length = length + #(word:upper():reverse() .. "-" .. word:sub(2, 9))
  end
  local replaced, count = text:gsub("ab", "xyz")
  return length + #replaced + count
end

local function tables(list)
  local counts, groups = {}, {}
  for i, word in ipairs(list) do
    counts[word] = (counts[word] or 0) + 1
    local group = groups[#word]
    if not group then
      group = {}
      groups[#word] = group
    end
    group[#group + 1] = { id = i, word = word, next = { i, i + 1 } }
  end
  local distinct, weight = 0, 0
  for _, count in pairs(counts) do
    distinct = distinct + 1
    weight = weight + count * count
  end
  for size, group in pairs(groups) do
    table.sort(group, function(a, b)
      return a.word < b.word or (a.word == b.word and a.id < b.id)
    end)
    weight = weight + size * group[1].id + group[#group].next[2]
  end
  return distinct + weight
end

local function closures(count)
  local functions = {}
  for i = 1, count do
    local calls = 0
    functions[i] = function(step)
      calls = calls + step
      return calls * i
    end
  end
  local sum = 0
  for round = 1, 3 do
    for _, call in ipairs(functions) do
      sum = (sum + call(round)) % 1000000007
    end
  end
  return sum
end

local function coroutines(count)
  local sum = 0
  for i = 1, count do
    local thread = coroutine.wrap(function(a)
      local b = coroutine.yield({ a, a * 2 })
      coroutine.yield({ b, tostring(a) })
    end)
    sum = sum + thread(i)[2] + #thread(i)[2]
  end
  return sum
end

for round = 1, tonumber(arg[1]) do
  local list = words(150000)
  print(round, strings(list), tables(list), closures(100000), coroutines(25000))
end
